"""The rate at which owners are rejected as often as impostors are accepted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest

from olive_build.proof.equal_error_rate import equal_error_rate, wilson

SCORES = st.integers(1, 60).flatmap(
    lambda count: arrays(np.float64, count, elements=st.integers(-20, 20).map(float))
)


def test_scores_that_lie_apart_have_no_error() -> None:
    found = equal_error_rate(np.array([2.0, 3.0]), np.array([-1.0, 0.0, 1.0]))
    assert (found.rate, found.rejected, found.accepted) == (0, 0, 0)
    assert 1 < found.threshold <= 2


def test_one_owner_of_ten_and_two_impostors_of_twenty_are_wrong() -> None:
    owners = np.array([-6.0, *[5.0] * 9])
    impostors = np.array([6.0, 6.0, *[-5.0] * 18])
    found = equal_error_rate(owners, impostors)
    assert found.rate == pytest.approx(0.1)
    assert (found.rejected, found.owners, found.accepted, found.impostors) == (1, 10, 2, 20)
    assert found.low < 0.1 < found.high


def test_scores_the_wrong_way_round_are_all_wrong() -> None:
    assert equal_error_rate(np.array([-1.0]), np.array([1.0])).rate == 1


@given(SCORES, SCORES)
def test_no_threshold_does_better(owners: np.ndarray, impostors: np.ndarray) -> None:
    found = equal_error_rate(owners, impostors)
    rates = [
        max((owners < threshold).mean(), (impostors >= threshold).mean())
        for threshold in np.arange(-21, 22, 0.5)
    ]
    assert found.rate == pytest.approx(min(rates))
    assert found.low <= found.rate <= found.high


def test_the_threshold_gives_the_errors_that_are_named() -> None:
    random = np.random.default_rng(0)
    owners, impostors = random.normal(1, 1, 200), random.normal(-1, 1, 900)
    found = equal_error_rate(owners, impostors)
    assert (owners < found.threshold).sum() == found.rejected
    assert (impostors >= found.threshold).sum() == found.accepted


@pytest.mark.parametrize(("errors", "trials"), [(0, 200), (3, 200), (200, 200), (1, 1)])
def test_the_interval_is_wilsons(errors: int, trials: int) -> None:
    expected = binomtest(errors, trials).proportion_ci(0.95, method="wilson")
    assert wilson(errors, trials) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("owners", [[], [float("nan")]])
def test_what_cannot_be_judged_is_refused(owners: list[float]) -> None:
    with pytest.raises(ValueError, match=r"trials of owners|no finite number"):
        equal_error_rate(np.array(owners), np.array([1.0]))
