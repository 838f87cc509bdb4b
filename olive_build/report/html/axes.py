"""Scales of a plot: where a value lies, and which values are worth a tick. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Nearer to 1 than fp32 can tell apart: drawn at the end of a scale of nines.
NEAREST = 1e-6
NINES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99999)
DECADES = (0.9, 0.99, 0.999, 0.9999, 0.99999)
MOST_TICKS = 8
# Differences of fp32 kernels among themselves: no figure of quality is nearer to 1 on purpose.
EXACT = 2e-5


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`.

    `nines` is for figures whose best is 1: equal steps are equal factors of what is missing to 1.
    `unit` is written after each tick's value.
    """

    title: str
    low: float
    high: float
    kind: Literal["linear", "nines"] = "linear"
    unit: str = ""

    def place(self, value: float) -> float:
        """Return where a value lies from 0 (low) to 1 (high); outside of it, at the nearer end."""
        low, high, at = (self._scaled(item) for item in (self.low, self.high, value))
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def _scaled(self, value: float) -> float:
        return value if self.kind == "linear" else -math.log10(max(1 - value, NEAREST))

    def ticks(self) -> list[tuple[float, str]]:
        """Return the values with a tick, and their texts."""
        if self.kind == "linear":
            return [(value, f"{value:g}{self.unit}") for value in steps(self.low, self.high)]
        found = [value for value in NINES if self.low <= value <= self.high]
        if len(found) > MOST_TICKS:
            found = [value for value in found if value in DECADES]
        below = [(value, f"{value:g}") for value in found if value < self.high]
        # What lies beyond is drawn here too.
        return [*below, (self.high, f"\u2265 {self.high:g}")]


def steps(low: float, high: float, count: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten, about `count` from low to high."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def from_zero(title: str, values: Sequence[float], unit: str = "") -> Axis:
    """Return a linear axis from 0 to a little beyond the largest value."""
    most = max([value for value in values if math.isfinite(value)], default=1.0) or 1.0
    return Axis(title, 0.0, most * 1.08, unit=unit)


def for_quality(title: str, values: Sequence[float]) -> Axis:
    """Return the axis of a figure whose best is 1, in nines where all are above a half.

    What is as good as exact does not stretch it: beyond the next nines above the best of the
    others, everything lies on the upper end, whose tick says so.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if low < 0.5 or high > 1:
        room = (high - low or 1.0) * 0.08
        return Axis(title, low - room, high + room)
    lower = 1 - min(max(1 - low, 20 * EXACT) * 1.5, 0.5)
    inexact = [1 - value for value in finite if 1 - value > EXACT]
    best = 1 - min(inexact, default=EXACT) / 2.5
    upper = next((value for value in NINES if value >= best and value > lower), NINES[-1])
    return Axis(title, lower, max(upper, lower + (1 - lower) / 2), "nines")
