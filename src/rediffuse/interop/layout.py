"""How the tensors of our U-Net correspond to those of another implementation: one table for both directions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from rediffuse.errors import UserError
from rediffuse.interop.own_format import NOT_OF_THE_FUNCTION
from rediffuse.models.unet import Level, Stage, UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.weights import check_tensors


class Rows(NamedTuple):
    """Rows `start` to `stop` of a tensor, in the order in which the other implementation keeps them."""

    start: int
    stop: int
    order: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """One tensor of theirs: rows of one of ours (all of them when None), in their shape."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    rows: Rows | None = None

    def taken_from(self, ours: Tensor) -> Tensor:
        """Theirs, from the whole of ours."""
        if self.rows is not None:
            ours = ours[self.rows.start : self.rows.stop]
            ours = ours if self.rows.order is None else ours[self.rows.order]
        return ours.reshape(self.shape).contiguous()

    def put_into(self, ours: Tensor, theirs: Tensor) -> None:
        """Write theirs to where it belongs in ours."""
        part = ours if self.rows is None else ours[self.rows.start : self.rows.stop]
        theirs = theirs.to(ours.dtype).reshape(part.shape)
        if self.rows is not None and self.rows.order is not None:
            part[self.rows.order] = theirs
        else:
            part.copy_(theirs)


# Of a skeleton of the network: every tensor of theirs and where it lies in ours.
Table = Callable[[UNet], Iterable[Entry]]


class Place(NamedTuple):
    """A stage of the network: where it stands, and the rows of the projection that are its own."""

    ours: str
    side: Literal["down", "middle", "up"]
    level: int
    position: int
    rows: Rows
    stage: Stage


def skeleton(config: UNetConfig) -> UNet:
    """The network without memory for its weights: names and shapes only."""
    with torch.device("meta"):
        return UNet(config)


def places(network: UNet) -> Iterator[Place]:
    """The stages in the order in which they run."""
    at = 0
    stages: list[tuple[str, Literal["down", "middle", "up"], int, int, Stage]] = []
    for side, levels in (("down", network.down), ("up", network.up)):
        if side == "up":
            stages += [(f"middle.{i}", "middle", 0, i, cast(Stage, s)) for i, s in enumerate(network.middle)]
        for number, level in enumerate(cast(Iterable[Level], levels)):
            for index, stage in enumerate(level.stages):
                where = cast(Literal["down", "up"], side)
                stages.append((f"{side}.{number}.stages.{index}", where, number, index, cast(Stage, stage)))
    for (ours, side, number, index, stage), width in zip(stages, network.embedding_widths, strict=True):
        yield Place(ours, side, number, index, Rows(at, at + width), stage)
        at += width


def group_norms(config: UNetConfig) -> list[nn.GroupNorm]:
    """The network's normalisations: where few channels leave no choice, they have fewer groups than `config` says."""
    return [module for module in skeleton(config).modules() if isinstance(module, nn.GroupNorm)]


def renamed(network: UNet, names: Mapping[str, str]) -> Iterator[Entry]:
    """The entries of modules (ours: theirs) whose tensors are the same in both implementations; ours may lack some."""
    modules = dict(network.named_modules())
    for ours, theirs in names.items():
        if ours in modules:
            for name, value in modules[ours].named_parameters():
                yield Entry(f"{ours}.{name}", f"{theirs}.{name}", tuple(value.shape))


def block(network: UNet, place: Place, theirs: str, parts: Mapping[str, str], projection: str) -> Iterator[Entry]:
    """The entries of a stage's residual block by its parts (ours: theirs), and of its own slice of our projection."""
    yield from renamed(network, {f"{place.ours}.residual.{part}": f"{theirs}.{name}" for part, name in parts.items()})
    if network.projection is not None:
        width = place.rows.stop - place.rows.start
        shape = (width, network.projection.in_features)
        yield Entry("projection.weight", f"{theirs}.{projection}.weight", shape, place.rows)
        yield Entry("projection.bias", f"{theirs}.{projection}.bias", (width,), place.rows)


def to_theirs(table: Table, config: UNetConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under their names and in their shapes."""
    return {entry.theirs: entry.taken_from(state[entry.ours]) for entry in table(skeleton(config))}


def to_ours(
    table: Table, config: UNetConfig, theirs: Mapping[str, Tensor], *, null_class: bool, source: str
) -> dict[str, Tensor]:
    """Their state dict under our names and in our shapes, float32.

    Without a `null_class` the null token's embedding is set to zero: the network was never trained for it.

    Args:
        source: what the tensors came from, for messages.

    Raises:
        UserError: naming the first tensor that is missing, left over, of another shape or not finite.
    """
    network, theirs = skeleton(config), dict(theirs)
    entries = list(table(network))
    for entry in entries:
        label = theirs.get(entry.theirs)
        if entry.ours == "classes.weight" and not null_class and label is not None and label.ndim:
            theirs[entry.theirs] = torch.cat((label, torch.zeros_like(label[:1])))
    check_tensors(theirs, {entry.theirs: entry.shape for entry in entries}, source)
    state = {name: torch.empty(value.shape) for name, value in network.state_dict().items()}
    for entry in entries:
        entry.put_into(state[entry.ours], theirs[entry.theirs])
    return state


def refuse_others(config: UNetConfig, known: Iterable[str], format_name: str) -> None:
    """Refuse a configuration that differs from the default in a field which `format_name` has no word for.

    Raises:
        UserError: naming the field and its value.
    """
    for name, field in UNetConfig.model_fields.items():
        value = getattr(config, name)
        if name not in (*known, *NOT_OF_THE_FUNCTION) and value != field.default:
            raise UserError(
                f"{name} is {value!r}; {format_name} cannot say that, only {field.default!r}: use the format rediffuse"
            )
