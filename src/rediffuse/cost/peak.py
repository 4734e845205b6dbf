"""Peak memory of training and sampling, measured in a process of its own.

On a GPU it is what torch's allocator held at most. On a CPU it is how far the resident set rose above what the built
network takes, which counts the operators' scratch memory too. Measured on Linux; elsewhere a CPU's peak is unknown.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.models.unet_config import UNetConfig

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class PeakJob:
    """`steps` None: one forward and backward pass of `batch` images; else `steps` steps of DDIM sampling of them."""

    batch: int
    steps: int | None = None
    checkpointing: bool = False


def peak_memory(
    config: UNetConfig, jobs: Sequence[PeakJob], *, device: str = "cpu", threads: int = 1
) -> list[int | None]:
    """Bytes above the network's own weights at the peak of each job; None where they cannot be measured.

    A training job's peak holds activations and gradients, not the optimiser or the average of the weights.

    Raises:
        UserError: the process failed, for want of memory or otherwise; the line says why.
    """
    request = {
        "config": config.model_dump(mode="json"),
        "jobs": [asdict(job) for job in jobs],
        "device": device,
        "threads": threads,
    }
    # Large blocks come from the system and go back to it at once, so that one job's do not hide the next one's peak.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-m", "rediffuse.cost.peak"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"peak memory could not be measured: {last}")
    return json.loads(done.stdout)


def _main() -> None:
    import torch

    request = json.loads(sys.stdin.read())
    torch.set_num_threads(request["threads"])
    config, device = UNetConfig(**request["config"]), torch.device(request["device"])
    jobs = [PeakJob(**job) for job in request["jobs"]]
    works = [_work(config, job, device) for job in jobs]
    # The first run of an operator allocates what it keeps for good, and torch loads what it had put off.
    for job in {PeakJob(1, job.steps and 1, job.checkpointing) for job in jobs}:
        _work(config, job, device)()
    print(json.dumps([_peak(work, device) for work in works]))


def _work(config: UNetConfig, job: PeakJob, device: "object") -> Callable[[], None]:
    import torch

    from rediffuse.diffusion.denoiser import Denoiser
    from rediffuse.diffusion.process import DiffusionProcess
    from rediffuse.diffusion.randomness import SampleNoise
    from rediffuse.diffusion.schedules import respaced_timesteps
    from rediffuse.models.unet import UNet
    from rediffuse.samplers.ddim import ddim

    target = torch.device(str(device))
    network = UNet(config.replace(checkpointing=job.checkpointing)).to(target)
    shape = (config.in_channels, config.image_size, config.image_size)

    def train() -> None:
        x = torch.randn(job.batch, *shape, device=target)
        t = torch.zeros(job.batch, dtype=torch.long, device=target)
        network(x, t).square().mean().backward()
        for parameter in network.parameters():
            parameter.grad = None

    @torch.inference_mode()
    def sample() -> None:
        assert job.steps is not None
        process = DiffusionProcess.create("linear", 1000).respace(respaced_timesteps(1000, job.steps, "uniform"))
        variance = "learned-range" if config.out_channels == 2 * config.in_channels else "fixed-small"
        denoiser = Denoiser(network, process, prediction="eps", variance=variance)
        ddim(denoiser, SampleNoise(0, torch.arange(job.batch), shape, device=target))

    network.train(job.steps is None)
    return train if job.steps is None else sample


def _peak(work: Callable[[], None], device: "object") -> int | None:
    import torch

    gc.collect()
    if str(device).startswith("cuda"):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    try:
        CLEAR.write_text("5")  # the peak starts again from what is resident now
    except OSError:
        return None
    before = _status("VmRSS")
    work()
    return max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    _main()
