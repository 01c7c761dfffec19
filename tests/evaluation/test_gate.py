"""The gate's judgement: worse than allowed is a regression, and so is a score that went missing."""

import math

import pytest

from refocal.evaluation.gate import compare

NAME = "test.refocal.psnr.mean"


@pytest.mark.parametrize(
    ("new", "regresses"), [(30.5, False), (30.0, False), (29.5, False), (29.49, True), (0.0, True), (math.nan, True)]
)
def test_only_what_is_worse_by_more_than_the_tolerance_is_a_regression(new: float, regresses: bool) -> None:
    found = compare({NAME: 30.0}, {NAME: new}, {NAME: 0.5})
    assert bool(found) == regresses
    assert all((r.metric, r.old, r.allowed) == (NAME, 30.0, 0.5) for r in found)


def test_the_allowed_difference_itself_passes_in_binary_too() -> None:
    assert 0.8 - 0.7 > 0.1  # in binary
    assert compare({NAME: 0.8}, {NAME: 0.7}, {NAME: 0.1}) == []


def test_a_metric_that_went_missing_is_a_regression_and_a_new_one_is_not() -> None:
    assert [str(r) for r in compare({NAME: 30.0}, {}, {NAME: 0.5})] == [f"{NAME}: missing, was 30.0"]
    assert [str(r) for r in compare({NAME: 30.0}, {NAME: None}, {NAME: 0.5})] == [f"{NAME}: missing, was 30.0"]
    assert [str(r) for r in compare({}, {}, {"misspelt": 0.5})] == ["misspelt: missing, was missing too"]
    assert compare({}, {NAME: 1.0}, {NAME: 0.5}) == compare({NAME: None}, {NAME: 1.0}, {NAME: 0.5}) == []


def test_metrics_without_a_tolerance_are_not_gated() -> None:
    assert compare({NAME: 30.0}, {NAME: 10.0}, {}) == []


def test_of_lpips_less_is_better() -> None:
    name = "test.refocal.lpips.mean"
    assert compare({name: 0.2}, {name: 0.1}, {name: 0.01}) == []
    assert len(compare({name: 0.2}, {name: 0.3}, {name: 0.01})) == 1


def test_regressions_keep_the_order_of_the_tolerances_and_say_what_happened() -> None:
    old = {"b": 1.0, "a": 2.0}
    found = compare(old, {"b": 0.5, "a": 1.0}, {"b": 0.1, "a": 0.1})
    assert [str(r) for r in found] == [
        "b: 1.0 -> 0.5, worse than the 0.1 that is allowed",
        "a: 2.0 -> 1.0, worse than the 0.1 that is allowed",
    ]
