"""Verb `cost`: count and measure the networks that are asked for, and print what they cost."""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from rediffuse.config import ResolvedRun, load_study
from rediffuse.cost.advice import advise, told
from rediffuse.cost.exact import Exact, exact_cost
from rediffuse.cost.model import CostModel
from rediffuse.cost.operators import profiled
from rediffuse.cost.peak import PeakJob, peak_memory
from rediffuse.cost.scaling import at_side
from rediffuse.cost.study import batch_sizes, inputs, network_config, on_device
from rediffuse.cost.timing import Passes, Spread, Timed, inference_pass, interleaved, training_passes
from rediffuse.data.image_set import open_image_set
from rediffuse.errors import UserError
from rediffuse.files import write_atomically
from rediffuse.hardware import Hardware
from rediffuse.machine import machine
from rediffuse.models.presets import preset
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.progress import Progress

MIB, GFLOP = 2**20, 1e9
PROFILE_ROWS = 15
STEPS = (10, 50, 100, 500, 1000)


@dataclass(frozen=True)
class CostRequest:
    """What to measure: runs and presets, at these batch sizes and sides; empty means their own."""

    runs: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    resolutions: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    json_file: Path | None = None
    profile: bool = False
    exact: bool = False
    advise: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be. Raises `UserError` naming the option."""
        for option, values in (("--batch", self.batches), ("--resolution", self.resolutions), ("--steps", self.steps)):
            if bad := [value for value in values if value < 1]:
                raise UserError(f"{option} is {bad[0]}; it must be at least 1")


@dataclass
class _Network:
    """One network at one side, and what was found out about it."""

    name: str
    config: UNetConfig
    batches: tuple[int, ...]
    run: ResolvedRun | None
    exact: Exact
    passes: dict[int, Passes] = field(default_factory=dict)
    forward: dict[int, Spread] = field(default_factory=dict)
    peaks: dict[int, int | None] = field(default_factory=dict)


def show_cost(request: CostRequest, study: Path) -> None:
    """Print the tables, and write the JSON file if one is asked for.

    Raises:
        UserError: an unknown run or preset, a side that does not fit a network, or no images where a run is asked for.
    """
    hardware = Hardware()
    networks: list[_Network] = []
    if request.runs or not request.presets:
        loaded = load_study(study)
        hardware, images = loaded.study.hardware, Path("data", loaded.study.data.name)
        chosen = [loaded.run(name) for name in request.runs] or [
            run for run in loaded.runs.values() if run.model == "unet"
        ]
        if not (images / "card.json").exists():
            raise UserError("the networks of runs depend on the images, which are not there; run `rediffuse prepare`")
        image_set = open_image_set(images)
        for run in chosen:
            batches = request.batches or tuple(sorted({1, *batch_sizes(run)}))
            networks += _at_sides(run.name, network_config(run, image_set), batches, request, run)
    for name in request.presets:
        networks += _at_sides(name, preset(name), request.batches or (1,), request, None)
    torch.set_num_threads(hardware.threads)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    if request.advise:
        _print_advice(console, networks[0], hardware)
        return
    if not request.exact:
        _measure(networks, hardware)
    console.print(_counts(networks))
    if not request.exact:
        console.print(_times(networks, hardware))
        console.print(_predictions(networks, request.steps or STEPS))
    if request.profile:
        console.print(_profile(networks[0], hardware), highlight=False, markup=False, soft_wrap=True)
    if request.json_file is not None:
        write_atomically(request.json_file, json.dumps(_record(networks, hardware), indent=2, sort_keys=True) + "\n")


def _at_sides(
    name: str, config: UNetConfig, batches: tuple[int, ...], request: CostRequest, run: ResolvedRun | None
) -> list[_Network]:
    own = {side: at_side(config, side) for side in request.resolutions or (config.image_size,)}
    return [
        _Network(
            name if side == config.image_size else f"{name} at {side}×{side}", sized, batches, run, exact_cost(sized)
        )
        for side, sized in own.items()
    ]


def _measure(networks: list[_Network], hardware: Hardware) -> None:
    jobs: dict[str, Timed] = {}
    bf16 = hardware.precision == "bfloat16"
    for index, network in enumerate(networks):
        module = on_device(UNet(network.config), hardware)
        for batch in network.batches:
            x, y = inputs(network.config, batch, hardware)
            jobs[f"{index} training {batch}"] = training_passes(module, x, y, bfloat16=bf16)
            jobs[f"{index} sampling {batch}"] = inference_pass(module, x, y, bfloat16=bf16)
    with Progress("cost", "round") as progress:
        seconds = interleaved(jobs, repeats=5, warmup=1, on_round=progress)
    for index, network in enumerate(networks):
        peaks = [PeakJob(batch) for batch in network.batches]
        config = network.config.replace(num_classes=None)
        held = peak_memory(config, peaks, device=hardware.device, threads=hardware.threads)
        for batch, count in zip(network.batches, held, strict=True):
            network.passes[batch] = Passes.of(batch, seconds[f"{index} training {batch}"])
            network.forward[batch] = Spread.of(seconds[f"{index} sampling {batch}"]["forward"])
            network.peaks[batch] = count


def _print_advice(console: Console, network: _Network, hardware: Hardware) -> None:
    """What to set on this machine for the first network that is asked for, and what it rests on."""
    training, sampling = batch_sizes(network.run) if network.run else (network.batches[0], network.batches[-1])
    found = advise(network.config, training, sampling, hardware)
    table = _table(
        f"{network.name}: other settings of hardware than the study's",
        "Settings",
        f"Training, {training} images (times as fast)",
        f"Sampling, {sampling} images (times as fast)",
        "Compiling (s)",
    )
    for one in found.tried:
        gains = [
            f"{g.median:.2f} ({g.low:.2f} to {g.high:.2f})" if g else "" for g in (one.gain.training, one.gain.sampling)
        ]
        table.add_row(
            told(one.hardware, hardware), *gains, f"{one.compile_seconds:.0f}" if one.hardware.compile else ""
        )
    for name, why in found.left_out.items():
        table.add_row(name, "left out", why, "")
    console.print(table)
    rounds = found.tried[0].gain.sampling.repeats if found.tried else 0
    console.print(f"Median of {rounds} rounds, in brackets the smallest and largest ratio.", highlight=False)
    if (best := found.best) is None:
        text = "Keep the study's settings: nothing was faster in every round."
    else:
        text = (
            f"Set hardware: {{{told(best.hardware, hardware)}}}: training "
            f"{best.gain.training.median:.2f} times as fast."  # type: ignore[union-attr]
        )
        if best.hardware.precision != hardware.precision:
            text += (
                " Precision changes every number: try what it costs with "
                "`vary: {hardware.precision: [float32, bfloat16]}`."
            )
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _counts(networks: list[_Network]) -> Table:
    table = _table(
        "Exact costs: one image, one forward pass; 1 multiply-add = 2 FLOPs",
        "Network",
        "Parameters",
        "GFLOP",
        "convolution",
        "attention",
        "share",
        "Saved, MiB",
        "checkpointed, MiB",
        "State, MiB",
    )
    for network in networks:
        cost, flops = network.exact, network.exact.flops
        table.add_row(
            network.name,
            f"{cost.parameters:,}",
            f"{flops.total / GFLOP:.4g}",
            f"{flops.convolution / GFLOP:.4g}",
            f"{(flops.projection + flops.attention) / GFLOP:.4g}",
            f"{flops.attention_share:.1%}",
            f"{cost.activation_bytes / MIB:.4g}",
            f"{cost.checkpointed_bytes / MIB:.4g}",
            f"{cost.state.training / MIB:.4g}",
        )
    return table


def _times(networks: list[_Network], hardware: Hardware) -> Table:
    where = f"{hardware.device}, {hardware.threads} thread{'s' if hardware.threads > 1 else ''}, {hardware.precision}"
    table = _table(
        f"Measured here ({where}): median \\[quartiles]",
        "Network",
        "Batch",
        "Forward, ms",
        "ms/image",
        "GFLOP/s",
        "Training forward, ms",
        "κ",
        "Peak above weights, MiB",
    )
    for network in networks:
        for batch in network.batches:
            forward, passes, peak = network.forward[batch], network.passes[batch], network.peaks[batch]
            table.add_row(
                network.name,
                str(batch),
                _spread(forward, 1e3),
                f"{1e3 * forward.median / batch:.4g}",
                f"{batch * network.exact.flops.total / forward.median / GFLOP:.4g}",
                _spread(passes.forward, 1e3),
                _spread(passes.kappa, 1),
                "not known here" if peak is None else f"{peak / MIB:.4g}",
            )
    return table


def _predictions(networks: list[_Network], steps: tuple[int, ...]) -> Table:
    table = _table(
        "Predicted from these, in seconds: what the network alone takes",
        "Network",
        "Training",
        *(f"{count} steps" for count in steps),
        "Images sampled",
    )
    for network in networks:
        model = _model(network)
        batch = max(network.batches)
        run = network.run
        training = "—"
        if run is not None:
            t = run.training
            training = f"{model.training_seconds(t.steps, t.batch_size):.4g}"
        table.add_row(network.name, training, *(f"{model.sampling_seconds(s, batch):.4g}" for s in steps), str(batch))
    return table


def _model(network: _Network) -> CostModel:
    """At the largest batch measured."""
    batch = max(network.batches)
    passes = network.passes[batch]
    return CostModel.measured(
        network.exact.flops.total,
        passes.kappa.median,
        (batch, passes.forward.median),
        (batch, network.forward[batch].median),
    )


def _profile(network: _Network, hardware: Hardware) -> str:
    """torch's profile of one training pass of the first network at its largest batch, by operator."""
    module, batch = on_device(UNet(network.config), hardware), max(network.batches)
    job = training_passes(module, *inputs(network.config, batch, hardware), bfloat16=hardware.precision == "bfloat16")
    profiler = profiled(job, torch.device(hardware.device))
    key = "self_cuda_time_total" if hardware.device == "cuda" else "self_cpu_time_total"
    head = f"Profile of one training pass of {network.name}, batch {batch}, by operator"
    table = profiler.key_averages().table(sort_by=key, row_limit=PROFILE_ROWS, max_name_column_width=48)
    return f"{head}\n{table}"


def _record(networks: list[_Network], hardware: Hardware) -> dict[str, Any]:
    return {
        "machine": machine(hardware.device, hardware.threads),
        "networks": {
            network.name: {
                **network.exact.record(),
                "measured": [
                    {
                        **asdict(network.passes[batch]),
                        "inference": asdict(network.forward[batch]),
                        "peak_bytes": network.peaks[batch],
                    }
                    for batch in network.passes
                ],
            }
            for network in networks
        },
    }


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _spread(spread: Spread, scale: float) -> str:
    return f"{scale * spread.median:.4g} [{scale * spread.low:.4g}, {scale * spread.high:.4g}]"
