"""What a study's hardware section fixes before anything is computed."""

from rediffuse.config import ResolvedRun


def set_threads(run: ResolvedRun) -> None:
    """Fix everything outside the seed that changes the last bits of what torch computes."""
    import torch

    torch.set_num_threads(run.hardware.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
