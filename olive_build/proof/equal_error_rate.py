"""How well scores tell an owner from others: the rate at which both kinds of error are equal.

numpy alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]
# Two-sided 95 % of a normal distribution.
Z = 1.959964


@dataclass(frozen=True)
class EqualErrorRate:
    """`rate` at `threshold`, between `low` and `high` with 95 % confidence.

    `owners` and `impostors` count trials; `rejected` owners and `accepted` impostors are the errors
    at the threshold. `rate` is the larger of both shares.
    """

    rate: float
    low: float
    high: float
    threshold: float
    owners: int
    rejected: int
    impostors: int
    accepted: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def equal_error_rate(owners: Scores, impostors: Scores) -> EqualErrorRate:
    """Return the rate for scores [trials] that are high for an owner, and low for an impostor.

    The threshold is the score at which the larger of both shares of errors is least; a trial is
    accepted from it on. The interval is Wilson's of the kind of error that is the less certain one
    (Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"). Raises
    ValueError where there is no score of a kind, or one that is no number.
    """
    if not len(owners) or not len(impostors):
        raise ValueError("there must be trials of owners and of impostors")
    if not (np.isfinite(owners).all() and np.isfinite(impostors).all()):
        raise ValueError("a score is no finite number")
    lowest_first, others = np.sort(owners), np.sort(impostors)
    thresholds = np.unique(np.concatenate([owners, impostors, [np.inf]]))
    rejected = np.searchsorted(lowest_first, thresholds, "left")
    accepted = len(others) - np.searchsorted(others, thresholds, "left")
    worse = np.maximum(rejected / len(owners), accepted / len(impostors))
    best = int(worse.argmin())
    errors = ((int(rejected[best]), len(owners)), (int(accepted[best]), len(impostors)))
    intervals = [wilson(*counted) for counted in errors]
    return EqualErrorRate(
        rate=float(worse[best]),
        low=min(low for low, _ in intervals),
        high=max(high for _, high in intervals),
        threshold=float(min(thresholds[best], np.finfo(np.float32).max)),
        owners=len(owners),
        rejected=errors[0][0],
        impostors=len(impostors),
        accepted=errors[1][0],
    )


def wilson(errors: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of the share of `errors` among `trials`."""
    share, square = errors / trials, Z * Z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    half /= 1 + square / trials
    # Rounding must not put the share itself outside.
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)
