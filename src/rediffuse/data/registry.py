"""The data sources by name: one file a source, one entry here. Looking one up imports neither torch nor numpy."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rediffuse.errors import UserError
from rediffuse.registry import Registry
from rediffuse.registry import load as load_reference

if TYPE_CHECKING:
    from rediffuse.data.image_set import ImageSet
    from rediffuse.download import OnProgress


@dataclass(frozen=True)
class Source:
    """A data source and its facts.

    options_reference, build_reference: "module:attribute" of `options` and `build`. summary: it in a few words.
    channels, image_size (pixels a side), images, held_out, classes (0: none): of what it gives unless its options say
    otherwise, None where only the images themselves can tell.
    """

    name: str
    options_reference: str
    build_reference: str
    _: KW_ONLY
    summary: str
    channels: int | None = None
    image_size: int | None = None
    images: int | None = None
    held_out: int | None = None
    classes: int | None = None

    @property
    def options(self) -> type:
        """Its frozen dataclass of options; imported when it is asked for."""
        return load_reference(self.options_reference)

    @property
    def build(self) -> "Callable[[Any, Path, OnProgress | None], ImageSet]":
        """(options, download_dir, progress) → `ImageSet`; imported when it is asked for."""
        return load_reference(self.build_reference)

    def read_options(self, given: Any) -> Any:
        """`given` (None, a mapping, or already options) as `options`.

        A list may stand for a tuple and text for a path, as in a file; nothing else is converted. Raises UserError,
        naming the option and what is allowed, for an unknown one, a missing one or a value of another type.
        """
        kind = self.options
        if isinstance(given, kind):
            return given
        if given is not None and not isinstance(given, Mapping):
            raise UserError(f"options of data source {self.name!r} must be a mapping, not {type(given).__name__}")
        known = [field.name for field in fields(kind)]
        for key in given or {}:
            if key not in known:
                allowed = ", ".join(known) or "none"
                raise UserError(f"data source {self.name!r} has no option {key!r}; its options: {allowed}")
        return _validated(self.name, kind, given) if known else kind()


SOURCES = Registry(
    "data source",
    Source(
        "digits",
        "rediffuse.data.digits:DigitsOptions",
        "rediffuse.data.digits:digits",
        summary="1,797 real 8x8 scans of digits, inside scikit-learn",
        channels=1,
        image_size=8,
        images=1797,
        held_out=360,
        classes=10,
    ),
    Source(
        "smoke",
        "rediffuse.data.digits:DigitsOptions",
        "rediffuse.data.digits:smoke",
        summary="64 of the digits, for tests",
        channels=1,
        image_size=8,
        images=64,
        held_out=24,
        classes=10,
    ),
    Source(
        "cifar10",
        "rediffuse.data.cifar10:Cifar10Options",
        "rediffuse.data.cifar10:cifar10",
        summary="60,000 colour photographs, 32x32, fetched or from a local archive",
        channels=3,
        image_size=32,
        images=60000,
        held_out=10000,
        classes=10,
    ),
    Source(
        "cifar10-jpeg",
        "rediffuse.data.cifar10_jpeg:Cifar10JpegOptions",
        "rediffuse.data.cifar10_jpeg:cifar10_jpeg",
        summary="CIFAR-10 as a folder or archive of JPEGs",
        channels=3,
        image_size=32,
        images=60000,
        held_out=10000,
        classes=10,
    ),
    Source(
        "mnist",
        "rediffuse.data.mnist:MnistOptions",
        "rediffuse.data.mnist:mnist",
        summary="70,000 digits, 28x28 or padded to 32x32, fetched or local",
        channels=1,
        image_size=32,
        images=70000,
        held_out=10000,
        classes=10,
    ),
    Source(
        "celeba",
        "rediffuse.data.celeba:CelebAOptions",
        "rediffuse.data.celeba:celeba",
        summary="202,599 faces from a local img_align_celeba.zip",
        channels=3,
        images=202599,
        held_out=19962,
        classes=0,
    ),
    Source(
        "archive",
        "rediffuse.data.archive:ArchiveOptions",
        "rediffuse.data.archive:archive",
        summary="any tar or zip of pictures",
    ),
    Source(
        "folder",
        "rediffuse.data.archive:ArchiveOptions",
        "rediffuse.data.archive:archive",
        summary="any folder of pictures",
    ),
)


@dataclass(frozen=True)
class Takes:
    """What a study may say of a source.

    path: whether `data.path` has to be given; sides: what `data.image_size` may be, () for nothing, None for any side.
    """

    path: Literal["must", "may", "never"] = "never"
    sides: tuple[int, ...] | None = ()


#: By the name of a source. Not facts of `Source`, whose form is in the key of every job: these decide no pixel.
TAKES = {
    "digits": Takes(),
    "smoke": Takes(),
    "cifar10": Takes("may"),
    "cifar10-jpeg": Takes("must"),
    "mnist": Takes("may", (28, 32)),
    "celeba": Takes("must", None),
    "archive": Takes("must", None),
    "folder": Takes("must", None),
}


def load(
    name: str,
    options: Mapping[str, Any] | object | None = None,
    download_dir: str | Path = Path("data/downloads"),
    progress: "OnProgress | None" = None,
) -> "ImageSet":
    """Read the data source `name`.

    `options` is its options dataclass or a mapping with the same keys; downloaded files are kept in `download_dir` and
    used again; `progress(done, total)` is called while bytes arrive or images are decoded. Raises UserError for an
    unknown source or option, and for data that cannot be had or read.
    """
    source = find_source(name)
    return source.build(source.read_options(options), Path(download_dir), progress)


def find_source(name: str) -> Source:
    """The source called `name`. Raises UserError that lists the names."""
    return SOURCES.find(name)


def _validated(name: str, kind: type, given: Mapping[str, Any] | None) -> Any:
    import pydantic
    import pydantic_core

    try:
        # As JSON: there a path is text and a tuple a list, and yet a number is no text and true no number.
        return pydantic.TypeAdapter(kind).validate_json(pydantic_core.to_json(given or {}, fallback=repr), strict=True)
    except pydantic.ValidationError as wrong:
        [first, *_] = wrong.errors()
        key = first["loc"][0]
        if first["type"] == "missing":
            raise UserError(f"data source {name!r} needs the option {key!r}") from None
        wanted = first["msg"].removeprefix("Input ").removeprefix("should be ")
        raise UserError(f"option {key!r} of data source {name!r} must be {wanted}, not {first['input']!r}") from None
