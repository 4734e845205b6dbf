"""What is said of the machine that a number was made on."""

import pytest

from rediffuse.machine import machine, processor


@pytest.mark.parametrize(
    ("described", "named"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", "AMD EPYC with AVX-512 BF16"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx2\n", "AMD EPYC with AVX2"),
        ("model name\t: a chip: old\nflags\t\t: fpu\n", "a chip: old"),
        ("processor\t: 0\n", ""),
    ],
)
def test_two_processors_of_one_name_are_told_apart_by_their_instructions(described: str, named: str):
    assert processor(described) == named


def test_this_machine_has_a_processor_with_a_name():
    assert machine("cpu", 1)["cpu"]
