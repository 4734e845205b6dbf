import subprocess
import sys
from pathlib import Path

import pytest

from rediffuse.data.archive import ArchiveOptions
from rediffuse.data.registry import SOURCES, load
from rediffuse.errors import UserError


def test_an_unknown_source_lists_those_there_are():
    with pytest.raises(UserError, match="data source 'imagenet' is unknown; use one of digits, smoke, cifar10"):
        load("imagenet")


def test_an_unknown_option_is_named_with_those_allowed():
    with pytest.raises(UserError, match="'cifar10' has no option 'archiv'; its options: archive, mirrors"):
        load("cifar10", {"archiv": "x"})


def test_a_source_without_options_says_so():
    with pytest.raises(UserError, match="'digits' has no option 'size'; its options: none"):
        load("digits", {"size": 32})


def test_a_missing_option_is_named():
    with pytest.raises(UserError, match="'celeba' needs the option 'archive'"):
        load("celeba", {})


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("size", "big", "a valid integer, not 'big'"),
        ("size", True, "a valid integer, not True"),
        ("size", "8", "a valid integer, not '8'"),
        ("channels", "cmyk", "'rgb' or 'grey', not 'cmyk'"),
        ("path", 3, "a valid string, not 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_right(key: str, value: object, wanted: str):
    with pytest.raises(UserError, match=f"option '{key}' of data source 'archive' must be {wanted}"):
        SOURCES["archive"].read_options({"path": "x", key: value})


def test_options_may_be_given_as_their_dataclass():
    options = ArchiveOptions(Path("x"))
    assert SOURCES["archive"].read_options(options) is options


def test_text_becomes_a_path_and_a_list_a_tuple():
    options = SOURCES["cifar10"].read_options({"archive": "a", "mirrors": ["http://a"]})
    assert (options.archive, options.mirrors) == (Path("a"), ("http://a",))
    assert SOURCES["archive"].read_options({"path": Path("x")}) == ArchiveOptions(Path("x"))


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_is_found_where_its_entry_says(source):
    assert isinstance(source.options, type)
    assert callable(source.build)


@pytest.mark.parametrize("source", [SOURCES["digits"], SOURCES["smoke"]], ids=lambda source: source.name)
def test_facts_of_the_embedded_data_sets_are_those_of_their_images(source):
    images = load(source.name)
    assert (source.channels, source.image_size, source.image_size) == images.shape
    assert (source.images, source.held_out) == (len(images), images.held_out.sum())
    assert source.classes == len(images.class_names)


def test_reading_data_needs_neither_torch_nor_the_pipeline():
    banned = {"torch", "pydantic", "dvc", "snakemake", "mlflow", "rediffuse.config"}
    code = f"import sys, rediffuse.data.registry as r; r.load('smoke'); assert not {banned} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
