"""Figures against limits. Pure: used by build, verify and the reports alike.

A figure that varies from run to run comes as an interval, and a verdict needs all of it on one side
of the limit: `passed` and `failed` are never a matter of luck. Otherwise the gate is `undecided`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from olive_build.proof import figures
from olive_build.proof.interval import side
from olive_build.record.proof import (
    FP32,
    PYTORCH,
    THIS,
    Finding,
    Gate,
    Latency,
    LoadTime,
    Memory,
    ShortMemory,
    SpeedLimit,
    Status,
    VariantProof,
    Verdict,
)

NOT_TOLD = "the file does not give what it is measured on"
SPEEDUP = "speedup"
AS_FAST = 1.0
AGAINST_FP32 = ("size_ratio", "slowdown", "load_ratio", "memory_ratio")


def held(
    figure: str,
    value: float | None,
    limit: float,
    status: Status,
    note: str = "",
    size: int | None = None,
    interval: tuple[float, float] | None = None,
) -> Gate:
    """Return the gate of a figure, which binds as the figure does."""
    bound = figures.find(figure).bound
    return Gate(figure, value, limit, bound, status, note, size, interval)


@dataclass(frozen=True)
class Median:
    """A figure that varies: its median, where it lies for certain, and whether others disturbed."""

    value: float
    low: float
    high: float
    noisy: bool = False


def gate(figure: str, value: float, limit: float) -> Gate:
    """Hold one figure that does not vary against its limit."""
    holds = figures.find(figure).holds(value, limit)
    return held(figure, value, limit, "passed" if holds else "failed")


def quality_gates(found: Mapping[str, float], limits: Mapping[str, float]) -> list[Gate]:
    """Hold the figures of quality.json against their limits.

    A file that searches by itself tells no probabilities, and so has not all figures of its family.
    """
    return [
        gate(name, float(found[name]), limits[name])
        if name in found
        else held(name, None, limits[name], "not measured", NOT_TOLD)
        for name in figures.of_quality()
        if name in limits
    ]


def size_gates(size_bytes: int, fp32_bytes: int, limits: Mapping[str, float]) -> list[Gate]:
    """Hold a file's size against size_mb (10^6 bytes) and size_ratio (to the fp32 graph)."""
    values = {"size_mb": size_bytes / 1e6, "size_ratio": size_bytes / fp32_bytes}
    return [gate(name, value, limits[name]) for name, value in values.items() if name in limits]


def measured_gate(
    figure: str, found: Sequence[Median], limit: float, *, size: int | None = None
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
    return held(figure, worst.value, limit, status, note, size, interval)


def _side(item: Median, limit: float, sign: float) -> str:
    low, high = sorted((sign * item.low, sign * item.high))
    return side(low, high, sign * limit)


def speed_gate(
    rows: Sequence[Latency] | None, limit: float, *, waived: str | None, absent: str
) -> Gate:
    """Hold the slowdown against the fp32 graph to its limit, at every length and thread count.

    `rows` are those of latency.json, None where nothing was timed and `absent` says why; `waived`
    is the recipe's reason for a variant that may be slower.
    """
    if rows is None:
        status: Status = "not measured" if waived is None else "waived"
        return held("slowdown", None, limit, status, absent if waived is None else waived)
    found = measured_gate("slowdown", [_ratio(row, FP32) for row in rows], limit)
    if waived is None:
        return found
    return held("slowdown", found.value, limit, "waived", waived, interval=found.interval)


def speedup_gates(
    rows: Sequence[Latency] | None, limits: Sequence[SpeedLimit], absent: str
) -> list[Gate]:
    """Hold the speed on one thread against PyTorch eager's; a limit without size is for each."""
    if rows is None:
        return [
            held(SPEEDUP, None, item.at_least, "not measured", absent, item.size) for item in limits
        ]
    return [
        measured_gate(SPEEDUP, [_speedup(row)], item.at_least, size=row.tokens)
        for item in limits
        for row in rows
        if row.threads == 1 and item.size in (None, row.tokens)
    ]


def _ratio(row: Latency | LoadTime, other: str) -> Median:
    item = row.ratio_to[other]
    return Median(item.median, *item.interval, row.noisy)


def _speedup(row: Latency) -> Median:
    ratio = _ratio(row, PYTORCH)
    low, high = 1 / ratio.high, 1 / max(ratio.low, 1e-9)
    return Median(1 / ratio.value, low, high, ratio.noisy)


def load_gates(load: LoadTime | None, limits: Mapping[str, float], absent: str) -> list[Gate]:
    """Hold the time to create a session against load_ms and load_ratio (to the fp32 graph)."""
    found: dict[str, list[Median]] = {}
    if load is not None:
        own = load.milliseconds[THIS]
        found["load_ms"] = [Median(own.median, *own.interval, load.noisy)]
        if FP32 in load.ratio_to:
            found["load_ratio"] = [_ratio(load, FP32)]
    return list(_where_limited(("load_ms", "load_ratio"), found, limits, load is None, absent))


def memory_gates(
    memory: Mapping[str, Sequence[Memory]] | None, limits: Mapping[str, float], absent: str
) -> list[Gate]:
    """Hold the peak memory against memory_mb and memory_ratio (to the fp32 graph), at each size.

    `memory` holds the rows of memory.json by candidate. The interval of a ratio is the widest that
    the runs of both sides allow.
    """
    found: dict[str, list[Median]] = {}
    if memory is not None:
        own = memory[THIS]
        found["memory_mb"] = [Median(row.median, row.low, row.high) for row in own]
        if FP32 in memory:
            found["memory_ratio"] = list(memory_ratios(own, memory[FP32]))
    return list(
        _where_limited(("memory_mb", "memory_ratio"), found, limits, memory is None, absent)
    )


def memory_ratios(
    own: Sequence[Memory | ShortMemory], others: Sequence[Memory | ShortMemory]
) -> Iterator[Median]:
    """Yield the ratio of peaks at each size that both sides have."""
    by_size = {row.tokens: row for row in others}
    for row in own:
        other = by_size.get(row.tokens)
        # Below a page or two above an empty process there is nothing to compare with.
        if other is not None and other.low > 0:
            yield Median(
                row.median / other.median, max(row.low, 0.0) / other.high, row.high / other.low
            )


def _where_limited(
    names: Sequence[str],
    found: Mapping[str, Sequence[Median]],
    limits: Mapping[str, float],
    is_absent: bool,
    absent: str,
) -> Iterator[Gate]:
    for name in names:
        if name not in limits:
            continue
        if found.get(name):
            yield measured_gate(name, found[name], limits[name])
        elif is_absent:
            yield held(name, None, limits[name], "not measured", absent)


def verdict_of(gates: Sequence[Gate], findings: Sequence[Finding]) -> Verdict:
    """Return `failed`, `passed`, or `undecided` where noise left a gate open."""
    found = {gate.status for gate in gates}
    if "failed" in found or any(item.severity == "error" for item in findings):
        return "failed"
    return "undecided" if "undecided" in found else "passed"


def gates_on_quality(proof: VariantProof) -> Iterator[Gate]:
    """Hold the quality of each of a variant's files against its limits."""
    for _, quality in sorted(proof.quality.items()):
        yield from quality_gates(quality.figures, proof.limits.figures)


def gates_of(
    proof: VariantProof, *, is_fp32_graph: bool, waived: str | None, absent: str
) -> Iterator[Gate]:
    """Hold quality, size, time and memory against the limits; the fp32 graph has none on ratios.

    `waived` is the recipe's reason for a variant that may be slower, `absent` why nothing was
    timed.
    """
    limits = proof.limits.figures
    if is_fp32_graph:
        limits = {name: limit for name, limit in limits.items() if name not in AGAINST_FP32}
    yield from gates_on_quality(proof)
    yield from size_gates(proof.size_bytes, proof.fp32_bytes, limits)
    if not is_fp32_graph:
        limit = limits.get("slowdown", AS_FAST)
        yield speed_gate(proof.latency, limit, waived=waived, absent=absent)
    yield from speedup_gates(proof.latency, proof.limits.speedup or (), absent)
    yield from load_gates(proof.load, limits, absent)
    yield from memory_gates(proof.memory, limits, absent)
