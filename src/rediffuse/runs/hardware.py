"""What a study's hardware section fixes before anything is computed."""

from rediffuse.config import ResolvedRun
from rediffuse.hardware import Hardware


def set_threads(run: ResolvedRun) -> None:
    """Fix everything outside the seed that changes the last bits of what torch computes."""
    import torch

    torch.set_num_threads(run.hardware.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def compiles_noise(hardware: Hardware) -> bool:
    """Whether counted noise is made by a compiled kernel: on a GPU, where the study compiles its networks too."""
    return hardware.compile and hardware.device == "cuda"
