"""The chapter that says which metrics order a known damage."""

import pytest

from rediffuse.reporting.chapters.damage import ordered, verdicts


@pytest.mark.parametrize(
    ("metric", "values", "yes"),
    [
        ("frechet_distance", [1.0, 2.0, 3.0], True),
        ("frechet_distance", [1.0, 3.0, 2.0], False),
        ("frechet_distance", [1.0, 1.0, 2.0], False),
        ("recall", [0.9, 0.5, 0.1], True),
        ("recall", [0.1, 0.5, 0.9], False),
        ("recall", [0.9, 0.1, 0.0, 0.0], True),  # it has none worse to give
        ("recall", [0.9, 0.1, 0.1], False),
        ("recall", [0.0, 0.0, 0.0], False),
        ("frechet_distance", [1.0, 0.0, 0.0], False),
    ],
)
def test_a_metric_orders_damage_when_it_gets_worse_with_every_degree(metric: str, values: list[float], yes: bool):
    assert ordered(metric, values) is yes


def test_each_kind_is_judged_from_the_undamaged_images_on():
    def row(kind: str, distance: float) -> dict:
        return {"kind": kind, "degree": "", "metrics": {"frechet_distance": {"value": distance}}}

    rows = [row("none", 5), row("noise", 6), row("noise", 7), row("copies", 4), row("copies", 9)]
    assert verdicts(rows) == {"frechet_distance": {"noise": True, "copies": False}}
