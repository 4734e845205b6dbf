"""What a cell of a table may hold, and how numbers and lists are written: the same everywhere."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

NOT_RUN = "not run"
IMPORTED = "imported"
NOT_RECORDED = "not recorded"
#: Measured, and without an upper end.
NO_NUMBER = "no number"
NOT_ASKED = "—"


@dataclass(frozen=True)
class Estimate:
    """A value with an interval, or with a standard deviation over `count` training seeds."""

    value: float
    low: float | None = None
    high: float | None = None
    std: float | None = None

    @classmethod
    def of(cls, record: Mapping[Any, Any]) -> "Estimate":
        """Of a record of value, low and high."""
        return cls(record["value"], record["low"], record["high"])

    def parts(self) -> tuple[str, str, str, str]:
        """Value, low, high and standard deviation with as many decimals as the largest of them deserves."""
        numbers = (self.value, self.low, self.high, self.std)
        places = decimals(max(abs(n) for n in numbers if n is not None))
        value, low, high, std = ("" if n is None else f"{n:.{places}f}" for n in numbers)
        return value, low, high, std

    def ends(self) -> tuple[float, float]:
        """Of an error bar: value ± std where there are several seeds, else the interval, else the value twice."""
        if self.std is not None:
            return self.value - self.std, self.value + self.std
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high

    def __str__(self) -> str:
        value, low, high, std = self.parts()
        return value + (f" ± {std}" if std else "") + (f" [{low}, {high}]" if low else "")


@dataclass(frozen=True)
class Links:
    """References to rows of the pedigree table."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Anchor:
    """The place a link leads to."""

    id: str


@dataclass(frozen=True)
class Mark:
    """A word that a page colours by its tone ("holds", "fails" or "open"), and a sign,
    as colour alone tells nothing.
    """

    sign: str
    text: str
    tone: str

    def __str__(self) -> str:
        return f"{self.sign} {self.text}"


Value: TypeAlias = str | int | float | Estimate | Links | Anchor | Mark


def decimals(magnitude: float, digits: int = 4) -> int:
    """Decimal places that give a number of this magnitude `digits` significant digits."""
    if magnitude == 0 or not math.isfinite(magnitude):
        return 0
    return min(12, max(0, digits - 1 - math.floor(math.log10(abs(magnitude)))))


def number(value: float, digits: int = 4) -> str:
    """A measured value with `digits` significant digits, whole counts in full."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{decimals(value, digits)}f}"


def signed(change: float, places: int = 0) -> str:
    """A change with its sign, or 0: "+5", "−3", "0"."""
    text = f"{change:+.{places}f}".replace("-", "−")
    return text if text.strip("+−0.") else "0"


def setting_text(value: object) -> str:
    """A setting as one would write it in the study."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(setting_text(item) for item in value) or "none"
    return str(value)


def whole(count: int) -> str:
    """A count, with separators of thousands from five digits on."""
    return f"{count:,}" if abs(count) >= 10_000 else str(count)


def counted(count: int, one: str, many: str | None = None) -> str:
    """ "1 image", "2 images"."""
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"


def listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def spans(found: Iterable[tuple[str, float]], write: Callable[[float], str] = number) -> dict[str, str]:
    """Of values by name: for each name its value, or the least and the largest:
    {"DDPM": "0.12", "VAE": "0.2 to 0.3"}.
    """
    values: dict[str, list[float]] = {}
    for name, value in found:
        values.setdefault(name, []).append(value)
    ends = {name: dict.fromkeys((write(min(all_)), write(max(all_)))) for name, all_ in values.items()}
    return {name: " to ".join(texts) for name, texts in ends.items()}


def short(digest: str) -> str:
    """The first characters of a digest or commit; the mark of uncommitted changes is kept."""
    head, plus, changes = digest.partition("+")
    return digest if digest == NOT_RECORDED else head[:12] + plus + changes
