"""Budgets: what a variant is held to, the shipped floors, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal

from pydantic import Field

from olive_build.recipe.build import Budgets
from olive_build.recipe.quantize import Strict

# By precision, for recipes that give none. Measured on held-out sentences with all-MiniLM-L6-v2:
# a sound conversion of that precision keeps them, a broken layer does not.
SHIPPED_FLOORS: Mapping[str, Mapping[str, float]] = {
    "fp32": {"cosine_lowest": 0.99999},
    "fp16": {"cosine_lowest": 0.999},
    "int8": {"cosine_p1": 0.98},
    "weight-int8": {"cosine_p1": 0.98},
    "int4": {"cosine_p1": 0.93},
}
SHIPPED_CEILINGS: Mapping[str, float] = {"size_ratio": 1.0, "slowdown": 1.0}
FLOORS = ("cosine_lowest", "cosine_p1", "cosine_mean", "spearman")
CEILINGS = ("size_mb", "size_ratio", "slowdown")


class BudgetsSpec(Strict):
    """What a variant must keep to; a breach fails the build."""

    cosine_lowest: float | None = Field(
        default=None, description="The least cosine to PyTorch's output that any text may have."
    )
    cosine_p1: float | None = Field(
        default=None,
        description="The least first percentile of the cosines: 99 of 100 texts must reach it.",
    )
    cosine_mean: float | None = Field(default=None, description="The least mean of the cosines.")
    spearman: float | None = Field(
        default=None,
        description="The least rank correlation of the similarities of all pairs of texts: does "
        "search still rank alike?",
    )
    size_mb: float | None = Field(
        default=None, description="The largest file, in megabytes of 10^6 bytes."
    )
    size_ratio: float | None = Field(
        default=None, description="The largest share of the fp32 graph's size: 0.26 is 26 %."
    )
    slowdown: float | None = Field(
        default=None,
        description="The longest latency against the fp32 graph's: 1.0 is as slow, 0.5 twice as "
        "fast. Held only where it is measured.",
    )


def shipped(precision: str, speed: Literal["gated", "any"]) -> dict[str, float]:
    """Return the defaults of a precision; `speed: any` lifts the one on latency."""
    ceilings = {k: v for k, v in SHIPPED_CEILINGS.items() if k != "slowdown" or speed == "gated"}
    return {**SHIPPED_FLOORS[precision], **ceilings}


def filled(given: Mapping[str, float], precision: str, speed: Literal["gated", "any"]) -> Budgets:
    """Return the budgets of a variant: the shipped ones with the recipe's own on top."""
    return Budgets(**{**shipped(precision, speed), **given})


def looser(given: Mapping[str, float], precision: str) -> Iterator[tuple[str, float]]:
    """Yield each budget that allows more than the shipped default, with that default."""
    for key, default in shipped(precision, "gated").items():
        if key in given and (given[key] < default if key in FLOORS else given[key] > default):
            yield key, default


def contradictions(given: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield each budget that cannot be meant, with the reason."""
    for key in FLOORS:
        if key in given and not -1 <= given[key] <= 1:
            yield key, f"{key} is a correlation, from -1 to 1"
    for key in CEILINGS:
        if key in given and given[key] <= 0:
            yield key, f"no file or run can keep {key} at {given[key]:g}"
    order = [key for key in FLOORS[:3] if key in given]
    for lower, higher in pairwise(order):
        if given[lower] > given[higher]:
            why = f"{lower} is never above {higher}, so {higher} {given[higher]:g} says nothing"
            yield lower, why
