"""What other projects wrote, taken with care: values of their configurations, and tensors under wrappers' names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from rediffuse.errors import UserError, one_line, shown
from rediffuse.options import in_words
from rediffuse.weights import check_finite, file_kind, is_compressed, read_tensors

#: How many times a file's size its tensors may take, where they share numbers.
MOST_SHARED = 10


def quoted(value: Any) -> str:
    """A value of another project's configuration, for a message."""
    return "None" if value is None else shown(value)


class Foreign(BaseModel):
    """Keys of another project's configuration with their types, so that a value of another type is a line."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """The values of a configuration; keys left out have their defaults.

        Raises:
            UserError: `key: value cannot be represented; what can`, for the first one.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            words = in_words(first["msg"])[:120]
            raise UserError(f"{first['loc'][0]}: {quoted(first['input'])} cannot be represented; {words}") from None


def read_foreign(file: Path, entry: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file, which take no more memory than its bytes: see `read_tensors`.

    Raises:
        UserError: it is no file of weights, or a small one that would unpack to many times its size.
    """
    if file_kind(file) == "torch" and is_compressed(file):
        raise UserError(f"{file}: is a compressed archive, as torch.save writes none; save its tensors again")
    tensors = read_tensors(file, entry)
    # Tensors may be views that repeat a few numbers; some of a network's share their numbers, hardly all of them.
    if sum(value.numel() * value.element_size() for value in tensors.values()) > MOST_SHARED * file.stat().st_size:
        raise UserError(
            f"{file}: its tensors would take over {MOST_SHARED} times the file's size; those are no weights"
        )
    return tensors


def foreign_tensors(
    source: Path, files: Sequence[Path], entry: str | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a network's files as finite float32 under names of the network alone,
    and what was changed, in words.

    What wraps a network (`torch.compile`, `DataParallel`, an average) puts one word before every name: it is taken off.

    Raises:
        UserError: a file is no file of weights, or a tensor holds something other than finite real numbers.
    """
    tensors: dict[str, Tensor] = {}
    notes = []
    for file in files:
        tensors |= read_foreign(file, entry)
    tensors.pop("n_averaged", None)  # of torch.optim.swa_utils.AveragedModel
    while len(first := {name.partition(".")[0] for name in tensors}) == 1 and all("." in name for name in tensors):
        prefix = f"{first.pop()}."
        notes.append(f"taken off the name of every tensor: {one_line(prefix, 60)}")
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_meta or not value.is_floating_point():
            kind = "no values (meta)" if value.is_meta else f"{value.dtype}, {value.layout}"
            raise UserError(f"{source}: tensor {one_line(name, 60)} holds {kind}; real numbers are weights")
    kinds = Counter(str(v.dtype).removeprefix("torch.") for v in tensors.values() if v.dtype != torch.float32)
    notes += [f"{n} of {len(tensors)} tensors were {kind} and are now float32" for kind, n in kinds.items()]
    tensors = {name: value.detach().float() for name, value in tensors.items()}
    check_finite(tensors, source)
    return tensors, notes
