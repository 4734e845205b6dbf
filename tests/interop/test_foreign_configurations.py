"""Configurations as other projects leave them: every wrong value is read as something or named in a line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rediffuse.errors import UserError
from rediffuse.interop.diffusers_format import config_from_diffusers
from rediffuse.interop.own_format import Package, read_package, write_package
from rediffuse.interop.scheduler_format import Process, process_from_scheduler, scheduler_config
from rediffuse.interop.sources import read_any
from rediffuse.models import UNet, preset
from tests.interop.conftest import refused
from tests.interop.test_diffusers_format import SMALL

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.usefixtures("here")


def test_a_configuration_that_is_no_json_object_is_refused() -> None:
    Path("w").mkdir()
    for content in (b"", b"[]", b"3", b"null", b"{", b"\xff\xfe{}", b"[" * 10**5, b'{"a": ' + b"9" * 9999 + b"}"):
        Path("w/config.json").write_bytes(content)
        assert refused(read_any, Path("w")).startswith("w/config.json: is not")


WRONG: list[Any] = [
    None,
    True,
    False,
    "3",
    "",
    "0.02",
    "x" * 5000,
    "a\nb\0",
    -1,
    0,
    1,
    3,
    7,
    0.5,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
    10**9,
    10**30,
    10**400,
    [],
    [[]],
    [None],
    ["3"],
    [0],
    [-1],
    [3],
    [16] * 40,
    [10**6, 10**12],
    [10**9, 10**9],
    {},
    {"a": 1},
    {"self": 1},
]


def line_of(read: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> str:
    """The line in which something is refused; nothing where it is not."""
    try:
        read(given)
    except UserError as error:
        return str(error)
    return ""


def survives(read: Callable[[dict[str, Any]], Any], whole: dict[str, Any], keys: list[str]) -> None:
    """Every key at every wrong value, and left out: read as something, or refused in one line."""
    left_out = [{name: kept for name, kept in whole.items() if name != key} for key in keys]
    for given in left_out + [{**whole, key: value} for key in keys for value in WRONG]:
        line = line_of(read, given)
        assert line == "" or line.isprintable(), line
        assert len(line) <= 300, line


def test_no_value_of_a_configuration_ends_in_anything_but_a_line() -> None:
    from rediffuse.interop.diffusers_format import Theirs

    keys = set(Theirs.model_fields) - {"num_train_timesteps"}  # of which any value will do
    survives(config_from_diffusers, SMALL, [*keys, "decay", "_class_name", "unknown", "x\n" * 99, "self"])
    with_class = {**SMALL, "num_class_embeds": 3, "attention_head_dim": 8}
    survives(lambda given: config_from_diffusers(given, null_class=True), with_class, list(with_class)[-2:])


def test_no_value_of_a_schedule_ends_in_anything_but_a_line() -> None:
    whole = scheduler_config(Process(1000, "linear", "eps", "fixed-small", True))
    survives(process_from_scheduler, whole, [*whole, "self"])


def test_no_value_of_our_own_configuration_ends_in_anything_but_a_line() -> None:
    config = preset("micro-digits")
    write_package(Path("w"), Package(config, UNet(config).state_dict(), {}))
    whole = json.loads(Path("w/config.json").read_text())

    def read(given: dict[str, Any]) -> Package:
        Path("w/config.json").write_text(json.dumps(given))
        return read_package(Path("w"))

    survives(read, whole, [*whole, "self", "x"])
    survives(lambda network: read({**whole, "network": network}), whole["network"], [*whole["network"], "self", "x"])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"block_out_channels": []}, "block_out_channels: [] cannot be represented; an even number from 4"),
        ({"in_channels": "3"}, "in_channels: '3' cannot be represented; it should be a valid integer"),
        ({"norm_eps": "1e-6"}, "norm_eps: '1e-6' cannot be represented; it should be a valid number"),
        ({"down_block_types": None}, "down_block_types: None cannot be represented; it should be"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_it_should_be(change: dict[str, Any], line: str) -> None:
    assert refused(config_from_diffusers, {**SMALL, **change}).startswith(line)


def test_a_schedulers_value_of_another_type_is_named() -> None:
    assert refused(process_from_scheduler, {"beta_end": "0.02"}) == (
        "beta_end: '0.02' cannot be represented; it should be a valid number"
    )
    flow = dict(diffusers.FlowMatchEulerDiscreteScheduler().config) | {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    assert refused(process_from_scheduler, flow) == (
        "_class_name: 'FlowMatchEulerDiscreteScheduler' cannot be represented; a scheduler with betas can"
    )
