"""Figures against limits. Pure: used by build, verify and the reports alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "undecided", "waived", "not measured"]
# Figures that must not fall below their limit; all others must not rise above it.
FLOORS = ("cosine_lowest", "cosine_p1", "cosine_mean", "spearman")


@dataclass(frozen=True)
class Gate:
    """One figure, its limit, and what follows."""

    figure: str
    value: float | None
    limit: float
    status: Status
    note: str = ""

    @property
    def bound(self) -> str:
        """How the limit binds: `at least` or `at most`."""
        return "at least" if self.figure in FLOORS else "at most"

    def text(self) -> str:
        """Return the gate as a person reads it: `cosine_p1 0.97123, at least 0.98: failed`."""
        value = "not measured" if self.value is None else f"{self.value:.6g}"
        note = f" ({self.note})" if self.note else ""
        return f"{self.figure} {value}, {self.bound} {self.limit:g}: {self.status}{note}"

    def as_json(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "value": self.value,
            "bound": self.bound,
            "limit": self.limit,
            "status": self.status,
            "note": self.note,
        }


def gate(figure: str, value: float, limit: float) -> Gate:
    """Hold one measured figure against its limit."""
    holds = value >= limit if figure in FLOORS else value <= limit
    return Gate(figure, value, limit, "passed" if holds else "failed")


def quality_gates(figures: Mapping[str, Any], limits: Mapping[str, float]) -> list[Gate]:
    """Hold the figures of quality.json against those limits that are floors."""
    return [gate(name, float(figures[name]), limits[name]) for name in FLOORS if name in limits]


def size_gates(size_bytes: int, fp32_bytes: int, limits: Mapping[str, float]) -> list[Gate]:
    """Hold a file's size against size_mb (10^6 bytes) and size_ratio (to the fp32 graph)."""
    values = {"size_mb": size_bytes / 1e6, "size_ratio": size_bytes / fp32_bytes}
    return [gate(name, value, limits[name]) for name, value in values.items() if name in limits]


def speed_gate(
    rows: list[dict[str, Any]] | None, limit: float, *, waived: str | None, absent: str
) -> Gate:
    """Hold the worst slowdown against the fp32 graph to its limit.

    `rows` are those of latency.json, None where nothing was timed and `absent` says why; `waived`
    is the recipe's reason for a variant that may be slower. A verdict needs quartiles that do not
    reach across the limit; otherwise it is `undecided`.
    """
    if rows is None:
        status: Status = "not measured" if waived is None else "waived"
        return Gate("slowdown", None, limit, status, absent if waived is None else waived)
    spreads = [row["ratio_to"]["fp32 graph"] for row in rows]
    # One that is slower beyond doubt decides, even where a noisier one has a higher median.
    certain = [item for item in spreads if item["low"] > limit]
    worst = max(certain or spreads, key=lambda item: float(item["median"]))
    value = float(worst["median"])
    if waived is not None:
        return Gate("slowdown", value, limit, "waived", waived)
    if value <= limit:
        return Gate("slowdown", value, limit, "passed")
    if worst["low"] <= limit:
        note = f"quartiles {worst['low']:.3g} to {worst['high']:.3g} reach across the limit"
        return Gate("slowdown", value, limit, "undecided", note)
    return Gate("slowdown", value, limit, "failed")


def failures(gates: list[Gate]) -> list[Gate]:
    """Return the gates that keep a bundle from being published."""
    return [item for item in gates if item.status == "failed"]
