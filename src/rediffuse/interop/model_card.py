"""The page that goes with exported weights: what they are, what they learned from, how good they are,
how to load them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rediffuse.interop.own_format import Package
from rediffuse.models.unet import UNet

LOADING = {
    "diffusers": """from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

unet = UNet2DModel.from_pretrained("FOLDER")
scheduler = DDPMScheduler.from_pretrained("FOLDER", subfolder="scheduler")
images = DDPMPipeline(unet, scheduler)(batch_size=4).images""",
    "diffusers, with classes": """from diffusers import DDPMScheduler, UNet2DModel

unet = UNet2DModel.from_pretrained("FOLDER")
scheduler = DDPMScheduler.from_pretrained("FOLDER", subfolder="scheduler")
prediction = unet(images, timesteps, class_labels=labels).sample""",
    "rediffuse": """from pathlib import Path

from rediffuse.interop.own_format import read_package
from rediffuse.models.unet import UNet

package = read_package(Path("FOLDER"))
network = UNet(package.network)
network.load_state_dict(package.state)""",
}


def parameter_count(package: Package) -> int:
    """Number of weights."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in UNet(package.network).parameters())


def model_card(
    package: Package,
    *,
    title: str,
    format_name: str,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    origin: Mapping[str, str],
    metrics: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The card, in Markdown with the usual front matter.

    Args:
        title: what the network is called.
        format_name: "diffusers" or "rediffuse", for how to load it.
        data: card of the training images (title, source, licence, citation, train).
        settings: settings of training, by dotted key.
        origin: what made the weights (run, command, commit …), by name.
        metrics: records of stage `evaluate`, one a setting; empty when none was made.
    """
    licence = data.get("licence", "not recorded")
    conditional = package.network.num_classes is not None
    loading = LOADING[f"{format_name}, with classes" if conditional and format_name == "diffusers" else format_name]
    lines = [
        "---",
        "tags: [unconditional-image-generation, ddpm]"
        if not conditional
        else "tags: [class-conditional-image-generation, ddpm]",
        f"library_name: {format_name}",
        "---",
        "",
        f"# {title}",
        "",
        f"A denoising-diffusion U-Net of {parameter_count(package):,} parameters for "
        f"{package.network.image_size}×{package.network.image_size} images, trained and exported by rediffuse. The "
        "weights are the moving average of training where it was on.",
        "",
        "## Training data",
        "",
        f"- {data.get('title', 'not recorded')}: {data.get('train', 'an unrecorded number of')} training images",
        f"- source: {data.get('source', 'not recorded')}",
        f"- licence: {licence}",
        f"- citation: {data.get('citation', 'not recorded')}",
        "",
        "## How good it is",
        "",
        *_scores(metrics),
        "",
        "## How to load it",
        "",
        f"```python\n{loading}\n```",
        "",
        *_notes(package, format_name),
        "## Settings",
        "",
        "| setting | value |",
        "| --- | --- |",
        *(f"| `{key}` | `{value}` |" for key, value in settings.items()),
        "",
        "## Where it comes from",
        "",
        *(f"- {name}: `{value}`" for name, value in origin.items()),
        "",
        "## Licence",
        "",
        f"The licence of the images ({licence}) applies to what was learned from them as far as the law says so; "
        "no other licence is stated for the weights. rediffuse, the software, is under the MIT licence.",
    ]
    return "\n".join(lines) + "\n"


def _scores(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    if not metrics:
        return ["Not evaluated."]
    lines = ["| sampler and steps | metric | value | interval | images a value | features |", "| --- " * 6 + "|"]
    for record in metrics:
        for name, metric in record["metrics"].items():
            if metric.get("value") is None:
                continue
            low, high = metric.get("low"), metric.get("high")
            interval = "not known" if low is None else f"{low:.4g} to {high:.4g} ({metric['interval']})"
            lines.append(
                f"| {record['setting']} | {name} | {metric['value']:.4g} | {interval} | "
                f"{metric['n']} | {record['features']} |"
            )
    lines += ["", "Values compare only with values in the same features and at the same number of images."]
    return lines


def _notes(package: Package, format_name: str) -> list[str]:
    notes = []
    if format_name == "diffusers":
        notes.append(
            "DDIM here re-derives ε from the clipped x̂_0; with diffusers' `DDIMScheduler` pass "
            "`use_clipped_model_output=True` to get the same images."
        )
    if package.network.num_classes is not None:
        count = package.network.num_classes
        notes.append(f'Classes are 0 to {count - 1}; class {count} stands for "no label".')
    return [line for note in notes for line in (note, "")]
