"""Figures against limits. Pure: used by build, verify and the reports alike.

A figure that varies from run to run comes as an interval, and a verdict needs all of it on one side
of the limit: `passed` and `failed` are never a matter of luck. Otherwise the gate is `undecided`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from olive_build.proof import figures
from olive_build.proof.interval import side

Status = Literal["passed", "failed", "undecided", "waived", "not measured"]
Row = Mapping[str, Any]
NOT_TOLD = "the file does not give what it is measured on"
SPEEDUP = "speedup"
FP32 = "fp32 graph"
PYTORCH = "pytorch"


@dataclass(frozen=True)
class Gate:
    """One figure, its limit, and what follows.

    `size` is the input's length for a figure that is judged at one; `interval` is where the figure
    lies for certain, None for a figure that does not vary.
    """

    figure: str
    value: float | None
    limit: float
    status: Status
    note: str = ""
    size: int | None = None
    interval: tuple[float, float] | None = None

    @property
    def bound(self) -> str:
        """How the limit binds: `at least` or `at most`."""
        return figures.find(self.figure).bound

    def text(self) -> str:
        """Return the gate as a person reads it: `cosine_p1 0.97123, at least 0.98: failed`."""
        figure = self.figure if self.size is None else f"{self.figure} at {self.size}"
        value = "not measured" if self.value is None else f"{self.value:.6g}"
        note = f" ({self.note})" if self.note else ""
        return f"{figure} {value}, {self.bound} {self.limit:g}: {self.status}{note}"

    def as_json(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "size": self.size,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "bound": self.bound,
            "limit": self.limit,
            "status": self.status,
            "note": self.note,
        }


@dataclass(frozen=True)
class Measured:
    """A figure that varies: its median, where it lies for certain, and whether others disturbed."""

    value: float
    low: float
    high: float
    noisy: bool = False


def gate(figure: str, value: float, limit: float) -> Gate:
    """Hold one figure that does not vary against its limit."""
    holds = figures.find(figure).holds(value, limit)
    return Gate(figure, value, limit, "passed" if holds else "failed")


def quality_gates(found: Mapping[str, Any], limits: Mapping[str, Any]) -> list[Gate]:
    """Hold the figures of quality.json against their limits.

    A file that searches by itself tells no probabilities, and so has not all figures of its family.
    """
    return [
        gate(name, float(found[name]), limits[name])
        if name in found
        else Gate(name, None, limits[name], "not measured", NOT_TOLD)
        for name in figures.of_quality()
        if name in limits
    ]


def size_gates(size_bytes: int, fp32_bytes: int, limits: Mapping[str, Any]) -> list[Gate]:
    """Hold a file's size against size_mb (10^6 bytes) and size_ratio (to the fp32 graph)."""
    values = {"size_mb": size_bytes / 1e6, "size_ratio": size_bytes / fp32_bytes}
    return [gate(name, value, limits[name]) for name, value in values.items() if name in limits]


def measured_gate(
    figure: str, found: Sequence[Measured], limit: float, *, size: int | None = None
) -> Gate:
    """Hold a figure that was measured once or under several conditions against its limit.

    `failed` when one of them lies wholly on the wrong side, `passed` when all lie wholly on the
    right one. The value that is named is the one that decides.
    """
    sign = -1.0 if figures.find(figure).better == "more" else 1.0
    sides = [_side(item, limit, sign) for item in found]
    status: Status = (
        "failed" if "above" in sides else "undecided" if "across" in sides else "passed"
    )
    deciding = {"failed": "above", "undecided": "across", "passed": "below"}[status]
    chosen = [item for item, where in zip(found, sides, strict=True) if where == deciding]
    worst = max(chosen, key=lambda item: sign * item.value)
    interval = (worst.low, worst.high)
    note = ""
    if status == "undecided":
        note = f"it lies between {worst.low:.4g} and {worst.high:.4g}"
        note += "; the machine was noisy" if worst.noisy else ""
    return Gate(figure, worst.value, limit, status, note, size, interval)


def _side(item: Measured, limit: float, sign: float) -> str:
    low, high = sorted((sign * item.low, sign * item.high))
    return side(low, high, sign * limit)


def speed_gate(
    rows: Sequence[Row] | None, limit: float, *, waived: str | None, absent: str
) -> Gate:
    """Hold the slowdown against the fp32 graph to its limit, at every length and thread count.

    `rows` are those of latency.json, None where nothing was timed and `absent` says why; `waived`
    is the recipe's reason for a variant that may be slower.
    """
    if rows is None:
        status: Status = "not measured" if waived is None else "waived"
        return Gate("slowdown", None, limit, status, absent if waived is None else waived)
    found = measured_gate("slowdown", [_ratio(row, FP32) for row in rows], limit)
    if waived is None:
        return found
    return Gate("slowdown", found.value, limit, "waived", waived, interval=found.interval)


def speedup_gates(
    rows: Sequence[Row] | None, limits: Sequence[Mapping[str, Any]], absent: str
) -> list[Gate]:
    """Hold the speed on one thread against PyTorch eager's; a limit without size is for each."""
    if rows is None:
        return [
            Gate(SPEEDUP, None, item["at_least"], "not measured", absent, item["size"])
            for item in limits
        ]
    return [
        measured_gate(SPEEDUP, [_speedup(row)], item["at_least"], size=row["tokens"])
        for item in limits
        for row in rows
        if row["threads"] == 1 and item["size"] in (None, row["tokens"])
    ]


def _ratio(row: Row, other: str) -> Measured:
    item = row["ratio_to"][other]
    return Measured(item["median"], item["median_from"], item["median_to"], row["noisy"])


def _speedup(row: Row) -> Measured:
    ratio = _ratio(row, PYTORCH)
    low, high = 1 / ratio.high, 1 / max(ratio.low, 1e-9)
    return Measured(1 / ratio.value, low, high, ratio.noisy)


def load_gates(load: Row | None, limits: Mapping[str, Any], absent: str) -> list[Gate]:
    """Hold the time to create a session against load_ms and load_ratio (to the fp32 graph)."""
    found: dict[str, list[Measured]] = {}
    if load is not None:
        own = load["milliseconds"]["this file"]
        found["load_ms"] = [
            Measured(own["median"], own["median_from"], own["median_to"], load["noisy"])
        ]
        if FP32 in load["ratio_to"]:
            found["load_ratio"] = [_ratio(load, FP32)]
    return list(_where_limited(("load_ms", "load_ratio"), found, limits, load is None, absent))


def memory_gates(
    memory: Mapping[str, Sequence[Row]] | None, limits: Mapping[str, Any], absent: str
) -> list[Gate]:
    """Hold the peak memory against memory_mb and memory_ratio (to the fp32 graph), at each size.

    `memory` holds the rows of memory.json by candidate. The interval of a ratio is the widest that
    the runs of both sides allow.
    """
    found: dict[str, list[Measured]] = {}
    if memory is not None:
        own = memory["this file"]
        found["memory_mb"] = [Measured(row["median"], row["low"], row["high"]) for row in own]
        if FP32 in memory:
            found["memory_ratio"] = list(memory_ratios(own, memory[FP32]))
    return list(
        _where_limited(("memory_mb", "memory_ratio"), found, limits, memory is None, absent)
    )


def memory_ratios(own: Sequence[Row], others: Sequence[Row]) -> Iterator[Measured]:
    """Yield the ratio of peaks at each size that both sides have."""
    by_size = {row["tokens"]: row for row in others}
    for row in own:
        other = by_size.get(row["tokens"])
        # Below a page or two above an empty process there is nothing to compare with.
        if other is not None and other["low"] > 0:
            yield Measured(
                row["median"] / other["median"],
                max(row["low"], 0.0) / other["high"],
                row["high"] / other["low"],
            )


def _where_limited(
    names: Sequence[str],
    found: Mapping[str, Sequence[Measured]],
    limits: Mapping[str, Any],
    is_absent: bool,
    absent: str,
) -> Iterator[Gate]:
    for name in names:
        if name not in limits:
            continue
        if found.get(name):
            yield measured_gate(name, found[name], limits[name])
        elif is_absent:
            yield Gate(name, None, limits[name], "not measured", absent)


def failures(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates that keep a bundle from being published."""
    return [item for item in gates if item.status == "failed"]


def undecided(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates that the measurement could not decide."""
    return [item for item in gates if item.status == "undecided"]
