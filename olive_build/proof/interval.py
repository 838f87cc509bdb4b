"""The confidence interval of a median, from order statistics, without assuming a distribution.

Between the k-th smallest and the k-th largest of n independent values lies the median with the
probability 1 - 2 P(B <= k - 1), B binomial (n, 1/2): H. A. David, H. N. Nagaraja, Order Statistics,
3rd edition, section 7.1. For times, which follow no normal distribution, it is what T. Hoefler and
R. Belli recommend in Scientific Benchmarking of Parallel Computing Systems (SC15).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from olive_build.record.proof import Spread

# How many rounds there may be when the figures are looked at. Looking again and again until a
# verdict comes would find one sooner or later by chance, so the looks share one error
# (Bonferroni): together they are wrong in at most ERROR of all cases.
LOOKS = (11, 22, 44)
ERROR = 0.05
# Fewer values give no interval of that confidence, whatever they are.
FEWEST = 7
CONFIDENCE = 1 - ERROR / len(LOOKS)
# A baseline whose own times have quartiles this far apart, as a share of their median, was
# measured on a machine that did other things as well.
NOISY = 0.1

Side = Literal["below", "above", "across"]


def written(found: Spread) -> dict[str, float]:
    """Return the spread as JSON, rounded so that the interval never shrinks."""
    start, end = found.interval
    return {
        "median": round(found.median, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "median_from": math.floor(start * 1e4) / 1e4,
        "median_to": math.ceil(end * 1e4) / 1e4,
    }


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of FEWEST values or more. Raises ValueError."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, *median_interval(values))


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the narrowest interval of order statistics that holds the median with `confidence`.

    Raises ValueError when there are too few values for that confidence.
    """
    count, outside, rank = len(values), 0.0, 0
    # `outside` is P(B <= rank): one side's share when the interval begins at the next rank.
    while rank < count:
        outside += math.comb(count, rank) * 0.5**count
        if 1 - 2 * outside < confidence:
            break
        rank += 1
    if rank == 0:
        raise ValueError(f"{count} values give no interval of confidence {confidence:.3f}")
    ordered = sorted(values)
    return ordered[rank - 1], ordered[count - rank]


def side(low: float, high: float, limit: float) -> Side:
    """Return on which side of the limit an interval lies; one that ends at the limit is `below`."""
    if high <= limit:
        return "below"
    return "above" if low > limit else "across"
