"""Checks of what a network is, before it is asked anything: its weights, their average, its mode, its process."""

import math
from typing import Any

import torch
from torch import Tensor

from rediffuse.diagnosis.case import Case, Outcome, judged, not_checked
from rediffuse.diagnosis.probe import Reading
from rediffuse.diagnosis.readings import Compared, compare

LARGEST, SIGNAL, KEPT, LAG, SURE = 30.0, 0.05, 0.01, 0.9, 4.0


def numbers(case: Case) -> Outcome:
    """Count weights that are NaN or infinite, and outputs."""
    broken = [name for name, value in case.subject.state.items() if not value.isfinite().all()]
    if broken:
        others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        says = f"{broken[0]}{others} hold NaN or infinity: every output is lost"
        return judged(True, f"{len(broken)} of {len(case.subject.state)} tensors", says, tensors=broken)
    if not case.measured.finite:
        return judged(
            True, "outputs are not finite", "the weights are numbers, what the network makes of images is not"
        )
    return judged(False, f"0 of {len(case.subject.state)} tensors", tensors=[])


def size(case: Case) -> Outcome:
    """The largest root mean square of a layer's weights, in units of 1/√(inputs of a unit)."""
    found = {name: _relative(name, value) for name, value in case.subject.state.items() if value.ndim >= 2}
    worst = max(found, key=lambda name: found[name])
    says = f"{worst} is {found[worst]:.3g} times as large as a layer of its width begins"
    return judged(found[worst] > LARGEST, f"{found[worst]:.3g} ({worst})", says, largest=found[worst], tensor=worst)


def _relative(name: str, value: Tensor) -> float:
    inputs = 1 if name.startswith("classes.") else value[0].numel()  # a table of embeddings sums over nothing
    return float(value.float().square().mean().sqrt()) * math.sqrt(inputs)


def dead(case: Case) -> Outcome:
    """Count layers all of whose weights are zero."""
    layers = {name: value for name, value in case.subject.state.items() if value.ndim >= 2}
    zero = [name for name, value in layers.items() if not value.any()]
    says = f"{zero[0] if zero else ''} passes nothing on"
    return judged(bool(zero), f"{len(zero)} of {len(layers)} layers", says, layers=zero)


def mode(case: Case) -> Outcome:
    """Ask twice for the same: evaluation mode gives the same answer."""
    assert case.subject.network is not None
    x = case.training.tensor()[:4]
    t = float(case.subject.process.timestep_map[case.measured.t[0]])
    y = case.probe.labels(case.training.first(4))
    first, second = (case.probe.output(x, t, y) for _ in range(2))
    apart = float((first - second).abs().max())
    dropout = max((m.p for m in case.subject.network.modules() if isinstance(m, torch.nn.Dropout)), default=0.0)
    training = [name or "the network" for name, m in case.subject.network.named_modules() if m.training]
    says = "the network answers differently each time: it is in training mode, and drops values"
    value = f"answers differ by {apart:.3g}; dropout {dropout:g}"
    return judged(apart > 0, value, says, difference=apart, dropout=dropout, training=len(training))


def schedule(case: Case) -> Outcome:
    """The signal √ᾱ_T that is left at the last step."""
    process = case.subject.process
    left = float(process.alphas_bar[-1].sqrt())
    says = (
        f"x_T still holds {left:.1%} of the image, but sampling starts from pure noise, "
        "which this network has never seen"
    )
    return judged(left > SIGNAL, f"√ᾱ_T = {left:.3g}", says, signal=left, steps=process.num_timesteps)


def averaging(case: Case) -> Outcome:
    """Which weights these are, how much of the first ones is in them, and whether the others do better."""
    known = case.subject.averaging
    notes: dict[str, Any] = {"weights": known.kind, "kept_of_first": known.kept}
    words = [{"averaged": "averaged weights", "raw": "raw weights", "unknown": "nothing says which"}[known.kind]]
    if known.kept is not None:
        words.append(f"{known.kept:.2g} of the first weights left")
    other = None if case.other is None else _beside(case)
    if other is not None:
        words.append(
            f"the {'raw' if known.kind == 'averaged' else 'other'} ones have {other.ratio:.3g} times the error"
        )
        notes |= {"error_of_other": other.ratio, "z": other.z}
    value = "; ".join(words)
    if known.kind == "averaged" and known.kept is not None and known.kept > KEPT:
        says = (
            f"{known.kept:.0%} of the average is still the random weights that training began with: "
            "its decay is too long"
        )
        return judged(True, value, says, **notes)
    if other is not None:
        better = other.ratio < LAG and other.z > SURE
        if known.kind == "raw":
            says = "raw weights, whose average lies beside them unused"
            return judged(not (other.ratio > 1 / LAG and other.z < -SURE), value, says, **notes)
        if better:
            lag = "the average lags behind the weights it is of: its decay is too long for so short a training"
            says = lag if known.kind == "averaged" else "the other weights are far better than these"
            return judged(True, value, says, **notes)
        return judged(False, value, **notes)
    if known.kind == "averaged":
        return judged(False, value, **notes)
    return not_checked(known.note or f"{value}, and no other weights lie beside them (--other names them)")


def _beside(case: Case) -> Compared:
    assert case.other is not None
    return compare(case.declared, case.other, Reading())
