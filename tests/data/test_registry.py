import subprocess
import sys
from pathlib import Path

import pytest

from rediffuse.data import SOURCES, load
from rediffuse.data.archive import ArchiveOptions
from rediffuse.data.options import read_options
from rediffuse.errors import UserError


def test_an_unknown_source_lists_those_there_are():
    with pytest.raises(UserError, match="no data source named 'imagenet'; there are: archive, celeba, cifar10"):
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
        ("size", "big", "a whole number or null"),
        ("size", True, "a whole number or null"),
        ("channels", "cmyk", "one of rgb, grey"),
        ("path", 3, "a path"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_right(key, value, wanted):
    with pytest.raises(UserError, match=f"option '{key}' of data source 'archive' must be {wanted}, not"):
        read_options("archive", ArchiveOptions, {"path": "x", key: value})


def test_options_may_be_given_as_their_dataclass():
    options = ArchiveOptions(Path("x"))
    assert read_options("archive", ArchiveOptions, options) is options


def test_lists_become_tuples():
    options = read_options("cifar10", SOURCES["cifar10"].options, {"mirrors": ["http://a"]})
    assert options.mirrors == ("http://a",)


def test_reading_data_needs_neither_torch_nor_the_pipeline():
    banned = ["torch", "pydantic", "dvc", "snakemake", "mlflow", "rediffuse.config"]
    code = f"import sys, rediffuse.data; rediffuse.data.load('smoke'); assert not {set(banned)} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
