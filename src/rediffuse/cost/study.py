"""What a study's networks cost, exactly and by the clock."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.cost.exact import CONVENTION, exact_cost
from rediffuse.cost.flops import count_flops, total
from rediffuse.cost.peak import PeakJob, peak_memory
from rediffuse.cost.scaling import at_side, sides
from rediffuse.cost.timing import Passes, Spread, Timed, inference_pass, interleaved, training_passes
from rediffuse.data.image_set import ImageSet
from rediffuse.hardware import Hardware
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.progress import Progress
from rediffuse.runs.networks import build_network
from rediffuse.training.options import TrainingConfig
from rediffuse.weights import on_device as placed

#: Images in a batch of the timings by resolution at the network's own side; larger images come in smaller batches.
IMAGES = 32
#: Sampling steps between whose peak memories no more than noise should lie.
FEW, MANY = 2, 10
REPEATS = 5


def network_config(run: ResolvedRun, image_set: ImageSet) -> UNetConfig:
    """The configuration of a run's network for the images of a data set."""
    with torch.device("meta"):
        return build_network(run, image_set).config


def exact_record(configs: dict[str, UNetConfig], sizes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Exact costs of the runs' networks, by run and by resolution, and of one design in four sizes."""
    runs = {}
    for name, config in configs.items():
        exact = exact_cost(config)
        larger = {side: total(count_flops(at_side(config, side))) for side in sides(config)[1:]}
        resolutions = {str(side): asdict(flops) for side, flops in {config.image_size: exact.flops, **larger}.items()}
        runs[name] = {**exact.record(), "flops_by_resolution": resolutions}
    presets = {name: exact_cost(UNetConfig(**fields)).record() for name, fields in sizes.items()}
    return {"convention": CONVENTION, "runs": runs, "presets": presets}


def measured_record(
    configs: dict[str, UNetConfig], runs: dict[str, ResolvedRun], hardware: Hardware, repeats: int = REPEATS
) -> dict[str, Any]:
    """Seconds and peak bytes on this machine; the first run stands for all where one is enough."""
    first = next(iter(configs))
    jobs: dict[str, Timed] = {}
    batches = {name: batch_sizes(run) for name, run in runs.items()}
    for name, config in configs.items():
        network = on_device(UNet(config), hardware)
        module = torch.compile(network, dynamic=False) if hardware.compile else network
        bf16 = hardware.precision == "bfloat16"
        training, sampling = batches[name]
        jobs[f"training {name}"] = training_passes(module, *inputs(config, training, hardware), bfloat16=bf16)  # type: ignore[arg-type]
        jobs[f"sampling {name}"] = inference_pass(module, *inputs(config, sampling, hardware), bfloat16=bf16)  # type: ignore[arg-type]
    own, (training, sampling) = configs[first], batches[first]
    eager = on_device(UNet(own), hardware)
    several = sorted({1, *(sampling // 4**k for k in range(1, 4) if sampling // 4**k > 1), sampling})
    for batch in several:
        jobs[f"batch {batch}"] = inference_pass(eager, *inputs(own, batch, hardware))
    larger = {side: max(1, IMAGES * own.image_size**2 // side**2) for side in sides(own)}
    for side, batch in larger.items():
        jobs[f"side {side}"] = inference_pass(eager, *inputs(at_side(own, side), batch, hardware))
    for on in (False, True):
        network = on_device(UNet(own.replace(checkpointing=on)), hardware)
        jobs[f"checkpointing {on}"] = training_passes(network, *inputs(own, training, hardware))

    with Progress("cost", "round") as progress:
        seconds = interleaved(jobs, repeats=repeats, warmup=1, on_round=progress)
    peaks = [PeakJob(training), PeakJob(max(1, training // 4))]
    peaks += [PeakJob(max(1, sampling // 8), steps) for steps in (FEW, MANY)]
    held = peak_memory(own, peaks, device=hardware.device, threads=hardware.threads)
    return {
        "runs": {
            name: {
                "training": asdict(Passes.of(batches[name][0], seconds[f"training {name}"])),
                "sampling": {"batch": batches[name][1], "forward": _spread(seconds[f"sampling {name}"])},
            }
            for name in configs
        },
        "measured_run": first,
        "batches": [{"batch": batch, "forward": _spread(seconds[f"batch {batch}"])} for batch in several],
        "resolutions": [
            {"side": side, "batch": batch, "forward": _spread(seconds[f"side {side}"])}
            for side, batch in larger.items()
        ],
        "checkpointing": [
            {"on": on, **asdict(Passes.of(training, seconds[f"checkpointing {on}"]))} for on in (False, True)
        ],
        "peaks": [{**asdict(job), "bytes": count} for job, count in zip(peaks, held, strict=True)],
        "peak_method": "torch's allocator" if hardware.device == "cuda" else "rise of the resident set",
    }


def batch_sizes(run: ResolvedRun) -> tuple[int, int]:
    """Images that the network sees at once in training and in sampling."""
    parts = run.training.accumulate if isinstance(run.training, TrainingConfig) else 1
    return max(1, run.training.batch_size // parts), min(run.sampling.batch_size, run.sampling.images)


def _spread(seconds: dict[str, list[float]]) -> dict[str, Any]:
    return Spread.of(seconds["forward"]).record()


def on_device(network: nn.Module, hardware: Hardware) -> nn.Module:
    """The network where the study's hardware says, in the memory order it says."""
    return placed(network, hardware.device, hardware.channels_last)


def inputs(config: UNetConfig, batch: int, hardware: Hardware) -> tuple[Tensor, Tensor | None]:
    """Images of noise, and labels where the network takes them."""
    x = torch.randn(batch, config.in_channels, config.image_size, config.image_size, device=hardware.device)
    if hardware.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    y = None if config.num_classes is None else torch.zeros(batch, dtype=torch.long, device=hardware.device)
    return x, y
