"""Intervals of medians hold the true median as often as they say."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from olive_build.proof.interval import (
    CONFIDENCE,
    ERROR,
    FEWEST,
    LOOKS,
    median_interval,
    side,
    spread,
    written,
)


@pytest.mark.parametrize("count", [FEWEST, *LOOKS])
def test_the_interval_is_the_narrowest_that_is_sure_enough(count: int) -> None:
    low, high = median_interval([float(i) for i in range(1, count + 1)])
    rank = int(low)
    assert (low, high) == (rank, count + 1 - rank)

    def sureness(k: int) -> float:
        return 1 - 2 * sum(math.comb(count, i) for i in range(k)) / 2**count

    assert sureness(rank) >= CONFIDENCE > sureness(rank + 1)


@pytest.mark.parametrize("draw", [random.random, lambda: random.expovariate(1)])
def test_it_misses_the_true_median_as_seldom_as_it_says(draw: object) -> None:
    random.seed(0)
    truth = 0.5 if draw is random.random else math.log(2)
    missed = 0
    for _ in range(4000):
        low, high = median_interval([draw() for _ in range(LOOKS[0])])  # type: ignore[operator]
        missed += not low <= truth <= high
    assert missed / 4000 <= 1 - CONFIDENCE


def test_looking_three_times_does_not_raise_the_error() -> None:
    """Stopping at the first look that decides is wrong in fewer than ERROR of all cases."""
    random.seed(1)
    wrong = 0
    for _ in range(3000):
        values = [random.gauss(1.0, 0.1) for _ in range(LOOKS[-1])]
        for count in LOOKS:
            low, high = median_interval(values[:count])
            where = side(low, high, 1.0)  # exactly the true median: any decision is luck
            if where != "across":
                wrong += 1
                break
    assert wrong / 3000 <= ERROR


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="5 values give no interval"):
        median_interval([1, 2, 3, 4, 5])


def test_rounding_never_narrows_an_interval() -> None:
    values = [0.123456 + i * 1e-6 for i in range(11)]
    found = spread(values)
    start, end = found.interval
    rounded = written(found)
    assert rounded["median_from"] <= start
    assert rounded["median_to"] >= end
    assert found.median == statistics.median(values)
    assert found.noise == (found.high - found.low) / found.median


def test_an_interval_that_ends_at_the_limit_holds_it() -> None:
    assert side(0.5, 1.0, 1.0) == "below"
    assert side(1.0, 1.5, 1.0) == "across"
    assert side(1.01, 1.5, 1.0) == "above"
