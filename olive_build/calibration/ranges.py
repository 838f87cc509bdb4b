"""The range of each inner value over calibration inputs, in memory that does not grow with them.

onnxruntime's calibrators (onnxruntime/quantization/calibrate.py) keep every sample's values until
the end. Here each sample is looked at and let go: once for the smallest and largest value, and for
percentiles once more, counting into a histogram of fixed edges between those two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from olive_build.calibration.capture import stream_values
from olive_build.errors import StepError

# onnxruntime's own default for percentiles; a range is exact to a 2048th of the full one.
BINS = 2048

Feeds = Iterable[Mapping[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class Range:
    """The interval that a value is quantized over."""

    lowest: float
    highest: float


def find_ranges(
    model: onnx.ModelProto,
    names: Sequence[str],
    feeds: Callable[[], Feeds],
    *,
    percentile: float | None = None,
    threads: int = 1,
) -> dict[str, Range]:
    """Return the ranges of those of the values that are floating point.

    `feeds` gives the samples from the first one; it is called twice for percentiles. `percentile`
    None takes the smallest and largest value; 99.9 cuts 0.05 % off either end, as onnxruntime's
    PercentileCalibrater does, to within a bin: a 2048th of the whole range. Raises StepError for a
    value that is infinite or no number, which it names, and for values that are always empty.
    """
    full: dict[str, Range] = {}
    for values in stream_values(model, names, feeds(), threads=threads):
        for name, value in values.items():
            if np.issubdtype(value.dtype, np.floating):
                full[name] = _wider(name, full.get(name), value)
    empty = sorted(name for name, found in full.items() if found.lowest > found.highest)
    if empty:
        raise StepError(
            f"the value '{empty[0]}' is empty on every calibration input",
            why="without a number there is no range to quantize it over",
            hint="give calibration inputs that use this part of the model, or exclude its node",
        )
    if percentile is None:
        return full
    counts = {name: np.zeros(BINS, np.int64) for name in full}
    for values in stream_values(model, sorted(full), feeds(), threads=threads):
        for name, value in values.items():
            limits = (full[name].lowest, full[name].highest)
            counts[name] += np.histogram(value.astype(np.float64), BINS, limits)[0]
    return {name: _percentile(full[name], counts[name], percentile) for name in full}


def _wider(name: str, known: Range | None, value: npt.NDArray[Any]) -> Range:
    known = known or Range(np.inf, -np.inf)
    if not value.size:
        return known
    lowest, highest = float(value.min()), float(value.max())
    largest = float(np.finfo(np.float32).max)
    # The lowest float is a mask's fill: finite, and as useless as a range as infinity.
    if not (-largest < lowest <= highest < largest):
        kind = "is no number" if np.isnan(lowest + highest) else "is infinite, or as good as"
        raise StepError(
            f"the value '{name}' {kind} on a calibration input",
            why=f"it lies between {lowest:.3g} and {highest:.3g}, which no 8 or 16 bits can hold;\n"
            "usually this is the fill of an attention mask that the graph also uses elsewhere",
            hint="exclude the node that computes it, or those that read it",
        )
    return Range(min(known.lowest, lowest), max(known.highest, highest))


def _percentile(full: Range, counts: npt.NDArray[np.int64], percentile: float) -> Range:
    """Return the range without (100 - percentile) / 2 percent of the values at either end."""
    if full.lowest == full.highest:
        return full
    edges = np.linspace(full.lowest, full.highest, BINS + 1)
    shares = np.cumsum(counts) / counts.sum()
    cut = (100 - percentile) / 200
    # The bins in which the lower and the upper percentile lie, both of them whole.
    first = int(np.searchsorted(shares, cut, side="right"))
    last = int(np.searchsorted(shares, 1 - cut, side="left"))
    return Range(float(edges[min(first, BINS - 1)]), float(edges[min(last, BINS - 1) + 1]))
