"""Figures and their limits. Pure functions, which build, verify and the reports share.

A figure that varies from run to run comes as an interval, and a verdict needs all of it on one side
of the limit: `passed` and `failed` are never a matter of luck. Otherwise the gate is `undecided`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from olive_build.proof import figures
from olive_build.proof.figures import Figure, Median
from olive_build.proof.figures.cost import ratio_to
from olive_build.proof.interval import side
from olive_build.record.proof import (
    FP32,
    PYTORCH,
    Finding,
    Gate,
    Latency,
    SpeedLimit,
    Status,
    VariantProof,
    Verdict,
)

NOT_TOLD = "the file does not give what it is measured on"
SLOWDOWN, SPEEDUP = "slowdown", "speedup"
AS_FAST = 1.0


def held(
    figure: str,
    value: float | None,
    limit: float,
    status: Status,
    note: str = "",
    size: int | None = None,
    interval: tuple[float, float] | None = None,
) -> Gate:
    """Return the gate of a figure with this status."""
    bound = figures.find(figure).bound
    return Gate(figure, value, limit, bound, status, note, size, interval)


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


def measured_gate(
    figure: str, found: Sequence[Median], limit: float, *, size: int | None = None
) -> Gate:
    """Hold a figure that was measured once, or under several conditions, to its limit.

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
    found = measured_gate("slowdown", [ratio_to(row, FP32) for row in rows], limit)
    if waived is None:
        return found
    return held("slowdown", found.value, limit, "waived", waived, interval=found.interval)


def speedup_gates(
    rows: Sequence[Latency] | None, limits: Sequence[SpeedLimit], absent: str
) -> list[Gate]:
    """Hold the speedup over PyTorch eager on one thread to its limits, at one size or at each."""
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


def _speedup(row: Latency) -> Median:
    ratio = ratio_to(row, PYTORCH)
    low, high = 1 / ratio.high, 1 / max(ratio.low, 1e-9)
    return Median(1 / ratio.value, low, high, ratio.noisy)


def cost_gate(figure: Figure, proof: VariantProof, limit: float, absent: str) -> Gate | None:
    """Hold what a variant costs against a limit; None where there is nothing to compare with."""
    found = figure.cost(proof) if figure.cost else None
    if found is None:
        return held(figure.name, None, limit, "not measured", absent)
    if isinstance(found, float):
        return gate(figure.name, found, limit)
    return measured_gate(figure.name, found, limit) if found else None


def verdict_of(gates: Sequence[Gate], findings: Sequence[Finding]) -> Verdict:
    """Return `failed`, `passed`, or `undecided` if noise left a gate open."""
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
    """Hold quality, size, time and memory to their limits; the fp32 graph has no ratios.

    `waived` is the recipe's reason for a variant that may be slower, `absent` why nothing was
    timed.
    """
    limits = proof.limits.figures
    yield from gates_on_quality(proof)
    for name, figure in figures.every().items():
        if name == SLOWDOWN:
            if not is_fp32_graph:
                limit = limits.get(name, AS_FAST)
                yield speed_gate(proof.latency, limit, waived=waived, absent=absent)
            yield from speedup_gates(proof.latency, proof.limits.speedup or (), absent)
        elif figure.cost and name in limits and not (figure.against_fp32 and is_fp32_graph):
            found = cost_gate(figure, proof, limits[name], absent)
            yield from [found] if found else []
