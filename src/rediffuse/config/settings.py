"""What decides the numbers of a run, in sections, and how a layer of a study overrides the one below."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rediffuse.config.sampling import Sampling
from rediffuse.config.sections import Section
from rediffuse.config.trained import Diffusion, Network
from rediffuse.models.presets import IMAGE_FIELDS, preset_fields
from rediffuse.training.options import TrainingConfig


class Settings(Section):
    """Everything that decides the numbers of a U-Net's run, apart from its seed. Of one-pass models: only the number of
    images and of those at once, in `sampling`.
    """

    network: Network = Field(Network(), description="the U-Net")
    diffusion: Diffusion = Field(Diffusion(), description="forward process and objective")
    training: TrainingConfig = Field(TrainingConfig(), description="optimisation")
    sampling: Sampling = Field(Sampling(), description="samplers and step counts")


class Overrides(Section):
    """What differs from the defaults. Keys merge into the defaults; lists and `samplers` replace them whole."""

    network: dict[str, Any] = Field({}, description="overrides of defaults.network")
    diffusion: dict[str, Any] = Field({}, description="overrides of defaults.diffusion")
    training: dict[str, Any] = Field({}, description="overrides of defaults.training")
    sampling: dict[str, Any] = Field({}, description="overrides of defaults.sampling")

    def settings(self) -> dict[str, dict[str, Any]]:
        """The overriding sections, empty ones left out."""
        return {name: value for name in Settings.model_fields if (value := getattr(self, name))}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mapping by mapping; lists and the mapping `samplers` are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        deep = key != "samplers" and isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if deep else value
    return merged


def with_preset(network: dict[str, Any]) -> dict[str, Any]:
    """A `network` section with the keys of the preset it names, if any, below its own.

    Raises:
        UserError: there is no such preset.
    """
    name = network.get("preset")
    if not isinstance(name, str):
        return network
    fields = preset_fields(name)
    rest = Network().model_dump(mode="json", exclude={"class_conditional", "checkpointing"})
    return {**rest, **{key: value for key, value in fields.items() if key not in IMAGE_FIELDS}, **network}


def plain(value: Any) -> str:
    """A setting as text that is the same however it was written: 1.0 as 1, a tuple as a list."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
