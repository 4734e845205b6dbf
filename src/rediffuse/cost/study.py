"""What a study's networks cost, exactly and by the clock."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.cost.exact import CONVENTION, exact_cost, training_memory
from rediffuse.cost.flops import count_flops, total
from rediffuse.cost.gains import Gain, smaller, ways
from rediffuse.cost.operators import operators
from rediffuse.cost.peak import PeakJob, peak_memory
from rediffuse.cost.scaling import at_side, sides
from rediffuse.cost.timing import Passes, Spread, Timed, inference_pass, interleaved, training_passes
from rediffuse.data.image_set import ImageSet
from rediffuse.errors import one_line
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
#: The extremes of six values hold their median with 97 % confidence (`Spread.extremes`).
REPEATS = 6


def network_config(run: ResolvedRun, image_set: ImageSet) -> UNetConfig:
    """The configuration of a run's network for the images of a data set."""
    with torch.device("meta"):
        return build_network(run, image_set).config


def run_peak_memory(run: ResolvedRun, image_set: ImageSet) -> float:
    """MiB that training a run of a U-Net holds, by the cost model, at the images that its network sees at once.

    Weights, gradients, Adam's moments, the average of the weights and the activations; nothing is trained for it.
    """
    return training_memory(network_config(run, image_set), batch_sizes(run)[0]) / 2**20


def exact_record(configs: dict[str, UNetConfig], presets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Exact costs of the runs' networks, of networks of the literature, and of smaller ones than the first run's.

    The first run's stands for all by resolution.
    """
    first, own = next(iter(configs.items()))
    runs = {name: exact_cost(config).record() for name, config in configs.items()}
    larger = {str(side): asdict(total(count_flops(at_side(own, side)))) for side in sides(own)[1:]}
    runs[first]["flops_by_resolution"] = {str(own.image_size): runs[first]["flops"], **larger}
    return {
        "convention": CONVENTION,
        "first": first,
        "runs": runs,
        "smaller": {what: exact_cost(config).record() for what, config in smaller(own).items()},
        "presets": {name: exact_cost(UNetConfig(**fields)).record() for name, fields in presets.items()},
    }


def measured_record(
    configs: dict[str, UNetConfig],
    runs: dict[str, ResolvedRun],
    hardware: Hardware,
    *,
    try_compile: bool = False,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Seconds and peak bytes on this machine; the first run stands for all where one is enough.

    try_compile: see what torch.compile buys, too, where there is a compiler.
    """
    first = next(iter(configs))
    jobs: dict[str, Timed] = {}
    batches = {name: batch_sizes(run) for name, run in runs.items()}
    bf16 = hardware.precision == "bfloat16"
    for name, config in configs.items():
        network = on_device(UNet(config), hardware)
        module = torch.compile(network, dynamic=False) if hardware.compile else network
        training, sampling = batches[name]
        jobs[f"training {name}"] = training_passes(
            module,  # type: ignore[arg-type]
            *inputs(config, training, hardware),
            bfloat16=bf16,
        )
        jobs[f"sampling {name}"] = inference_pass(
            module,  # type: ignore[arg-type]
            *inputs(config, sampling, hardware),
            bfloat16=bf16,
        )
        for on in (False, True):
            network = on_device(UNet(config.replace(checkpointing=on)), hardware)
            jobs[f"checkpointing {on} {name}"] = training_passes(network, *inputs(config, training, hardware))
    own, (training, sampling) = configs[first], batches[first]
    eager = on_device(UNet(own), hardware)
    several = sorted({1, *(sampling // 4**k for k in range(1, 4) if sampling // 4**k > 1), sampling})
    for batch in several:
        jobs[f"batch {batch}"] = inference_pass(eager, *inputs(own, batch, hardware))
    larger = {side: max(1, IMAGES * own.image_size**2 // side**2) for side in sides(own)}
    for side, batch in larger.items():
        jobs[f"side {side}"] = inference_pass(eager, *inputs(at_side(own, side), batch, hardware))
    tried, left_out = ways(own, hardware, try_compile=try_compile)
    for what, (config, way, compiled) in tried.items():
        module = on_device(UNet(config), way)
        if compiled:
            module.compile(dynamic=False)
        low = way.precision == "bfloat16"
        work = {
            f"train {what}": training_passes(module, *inputs(config, training, way), bfloat16=low),
            f"sample {what}": inference_pass(module, *inputs(config, sampling, way), bfloat16=low),
        }
        if compiled and (wrong := fails(work)):
            left_out[what] = wrong
        else:
            jobs |= work

    with Progress("cost", "round") as progress:
        seconds = interleaved(jobs, repeats=repeats, warmup=1, on_round=progress)
    gains = [
        Gain.of(
            what,
            training=(seconds[f"training {first}"], seconds[f"train {what}"]),
            sampling=(seconds[f"sampling {first}"], seconds[f"sample {what}"]),
        )
        for what in tried
        if what not in left_out
    ]
    if sampling > 1:
        one = seconds["batch 1"]["forward"]
        alone = {"forward": [sampling * second for second in one]}
        gains.append(
            Gain.of(f"{sampling} images at once instead of one", sampling=(alone, seconds[f"batch {sampling}"]))
        )
    peaks = [PeakJob(training), PeakJob(max(1, training // 4))]
    peaks += [PeakJob(batch, FEW) for batch in several[-3:]] + [PeakJob(several[-1], MANY)]
    held = peak_memory(own, peaks, device=hardware.device, threads=hardware.threads)
    return {
        "runs": {
            name: {
                "training": asdict(Passes.of(batches[name][0], seconds[f"training {name}"])),
                "sampling": {"batch": batches[name][1], "forward": _spread(seconds[f"sampling {name}"])},
                "checkpointing": [
                    {"on": on, **asdict(Passes.of(batches[name][0], seconds[f"checkpointing {on} {name}"]))}
                    for on in (False, True)
                ],
            }
            for name in configs
        },
        "measured_run": first,
        "batches": [{"batch": batch, "forward": _spread(seconds[f"batch {batch}"])} for batch in several],
        "resolutions": [
            {"side": side, "batch": batch, "forward": _spread(seconds[f"side {side}"])}
            for side, batch in larger.items()
        ],
        "gains": [asdict(gain) for gain in gains],
        "left_out": left_out,
        "operators": operators(eager, inputs(own, training, hardware), inputs(own, sampling, hardware)),
        "peaks": [{**asdict(job), "bytes": count} for job, count in zip(peaks, held, strict=True)],
        "peak_method": "torch's allocator" if hardware.device == "cuda" else "rise of the resident set",
    }


def batch_sizes(run: ResolvedRun) -> tuple[int, int]:
    """Images that the network sees at once in training and in sampling."""
    parts = run.training.accumulate if isinstance(run.training, TrainingConfig) else 1
    return max(1, run.training.batch_size // parts), min(run.sampling.batch_size, run.sampling.images)


def fails(work: dict[str, Timed]) -> str | None:
    """Why compiled work cannot be done here, in a line; its compiler may want any of many things."""
    try:
        for job in work.values():
            job()
    except Exception as error:
        return f"it fails here ({one_line(str(error), 100)})"
    return None


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
