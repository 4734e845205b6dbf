"""Which files of another project's folder are read, which of its weights they are, and what to do where none can be."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError, one_line
from rediffuse.interop.diffusers_format import AVERAGE
from rediffuse.interop.own_format import read_config

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


def weight_files(root: Path) -> list[Path]:
    """The files that hold the weights of diffusers' folder of a network: one, or the shards that an index names.

    Raises:
        UserError: there is none; naming what lies there and what would do.
    """
    if (root / WEIGHTS).exists():
        return [root / WEIGHTS]
    if not (root / INDEX).exists():
        for name in PICKLED:
            refuse_pickled(root / name)
        raise UserError(f"{root}: has no {WEIGHTS}, but {lies_there(root)}")
    shards = read_config(root / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(n, str) and n == Path(n).name for n in shards.values()):
        raise UserError(f"{root / INDEX}: has no weight_map of tensors to names of files beside it")
    files = [root / name for name in sorted(set(shards.values()))]
    missing = [file.name for file in files if not file.exists()]
    if missing or not files:
        raise UserError(
            f"{root / INDEX}: names {len(files)} files, of which {len(missing)} are missing"
            + (f", the first {missing[0]}; get them all" if missing else "")
        )
    return files


def refuse_pickled(path: Path) -> None:
    """Raise UserError where a file of diffusers' pickled weights is there."""
    if path.name in PICKLED and path.exists():
        raise UserError(
            f"{path}: holds pickled weights, which are never read; get {WEIGHTS}, or save them again with diffusers' "
            "safe_serialization=True"
        )


def lies_there(folder: Path) -> str:
    """What a folder holds, and which of it, or what else, could be imported."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
        inside = sorted(str(file.parent) for depth in ("*", "*/*") for file in folder.glob(f"{depth}/{CONFIG}"))
    except OSError as error:
        return f"it cannot be looked into ({error.strerror})"
    if not names:
        return "is empty; give the folder into which the weights were downloaded"
    files = [name for name in names if name.endswith((".safetensors", ".pt", ".pth", ".ckpt"))]
    averages = [name for name in files if name.startswith("ema")]
    if inside:
        advice = f"name one of the folders that have it, as {inside[-1]}"
    elif files:
        advice = f"name the file, as {folder / (averages or files)[-1]}" + (", a moving average" if averages else "")
    else:
        advice = f"nothing of it can be read; PyTorch's weights can, {CONFIG} and {WEIGHTS}"
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"holds {', '.join(one_line(name, 40) for name in names[:4])}{more}: {advice}"


def which_of_diffusers(root: Path, config: Mapping[str, Any]) -> str:
    """Whether the weights in diffusers' folder of a network are a moving average, as far as it says so."""
    average = root.parent / "unet_ema"
    if root.name == average.name or any(key in config for key in AVERAGE):
        return "a moving average of weights"
    if (average / CONFIG).exists():
        return f"raw weights; their moving average lies beside them, and is taken if you name {average}"
    return "nothing says whether raw weights or a moving average"


def which_of_iddpm(file: Path) -> str:
    """Whether a file of IDDPM's holds a moving average, by its name (ema_RATE_STEP.pt or modelSTEP.pt)."""
    if file.name.startswith("ema"):
        return "a moving average of weights"
    if (step := re.fullmatch(r"model(\d+)", file.stem)) is None:
        return "nothing says whether raw weights or a moving average"
    averages = sorted(file.parent.glob(f"ema_*_{step[1]}.*"))
    return "raw weights" + (f"; a moving average lies beside them, {averages[-1]}" if averages else "")
