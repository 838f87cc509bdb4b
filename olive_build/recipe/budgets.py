"""Budgets: what a variant is held to, what it is held to by default, and what contradicts itself.

Which figures there are, and their limits, is said by the figures themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, create_model

from olive_build.proof import figures
from olive_build.recipe.build import Budgets, Regression, SizedFloor
from olive_build.recipe.fields import Strict

LARGEST_SIZE = 1_000_000

SpeedupSpec = Annotated[
    Annotated[float, Tag("number")] | Annotated[dict[str, float], Tag("by-size")],
    Discriminator(lambda value: "by-size" if isinstance(value, dict) else "number"),
]


class RegressionSpec(Strict):
    """What a variant may lose against the bundle that its build is about to replace."""

    size: float | None = Field(
        default=None, description="The largest ratio of the file's size to the previous one's."
    )
    latency: float | None = Field(
        default=None,
        description="The largest ratio of latencies, each taken against PyTorch eager in its own "
        "build's run. Held only on the machine that measured the previous build.",
    )
    memory: float | None = Field(
        default=None,
        description="The largest ratio of peak memory. Held only on the machine that measured the "
        "previous build.",
    )
    quality: float | None = Field(
        default=None,
        description="The most that any share or cosine may fall, or an error rate rise; a point is "
        "0.01. Held only where both builds were measured on the same inputs.",
    )
    perplexity: float | None = Field(
        default=None,
        description="The largest ratio of the file's perplexity to the previous one's, for models "
        "that write. Held only where both builds were measured on the same inputs.",
    )


def _budget(accepted: Any, effect: str) -> tuple[Any, Any]:
    return accepted | None, Field(default=None, description=effect)


if TYPE_CHECKING:
    BudgetsSpec = Strict
else:
    BudgetsSpec = create_model(
        "BudgetsSpec",
        __base__=Strict,
        __doc__="What a variant must keep to; a breach fails the build.",
        **{
            figure.name: _budget(SpeedupSpec if figure.name == "speedup" else float, figure.budget)
            for figure in figures.budgets()
        },
        regression=_budget(
            RegressionSpec,
            "What it may lose against the bundle in the outputs that it replaces; passes where "
            "there is none.",
        ),
    )


def shipped(
    precision: str, speed: Literal["gated", "any"], metrics: Collection[str], name: str = ""
) -> dict[str, float]:
    """Return the defaults of a variant; `speed: any` lifts the one on latency."""
    ceilings = figures.shipped_ceilings()
    if speed == "any":
        del ceilings["slowdown"]
    return {**figures.shipped(metrics, precision, name), **ceilings}


def filled(
    given: Mapping[str, Any],
    precision: str,
    speed: Literal["gated", "any"],
    metrics: Collection[str],
    name: str = "",
) -> Budgets:
    """Return the budgets of a variant: the shipped ones with the recipe's own on top."""
    found: dict[str, Any] = {**shipped(precision, speed, metrics, name), **given}
    speedup, regression = found.pop("speedup", None), found.pop("regression", None)
    return Budgets.of(
        found,
        None if speedup is None else _floors_by_size(speedup),
        None if regression is None else Regression(**regression),
    )


def _floors_by_size(given: float | Mapping[str, float]) -> tuple[SizedFloor, ...]:
    if not isinstance(given, Mapping):
        return (SizedFloor(None, given),)
    ordered = sorted((int(size), floor) for size, floor in given.items() if _is_size(size))
    return tuple(SizedFloor(size, floor) for size, floor in ordered)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_SIZE


def flat(given: Mapping[str, Any]) -> dict[str, float]:
    """Return budgets with dots in the names of those that lie in maps: `speedup.16`."""
    found: dict[str, float] = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": item for inner, item in value.items() if item is not None}
        elif value is not None:
            found[key] = value
    return found


def looser(
    given: Mapping[str, Any], precision: str, metrics: Collection[str], name: str = ""
) -> Iterator[tuple[str, float]]:
    """Yield each budget that allows more than the shipped default, with that default."""
    for key, default in shipped(precision, "gated", metrics, name).items():
        if key in given and not figures.find(key).holds(given[key], default):
            yield key, default


def contradictions(given: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield each budget of a `flat` map that cannot be meant, with the reason."""
    yield from _wrong_in_maps(given)
    for figure in figures.budgets():
        if figure.name in given:
            yield from ((figure.name, why) for why in _contradicts(figure, given))


def _contradicts(figure: figures.Figure, given: Mapping[str, float]) -> Iterator[str]:
    limit, unit = given[figure.name], figure.unit
    if unit.beyond:
        low, high = (edge if edge is not None else limit for edge in (unit.low, unit.high))
        if not low <= limit <= high:
            yield unit.beyond.format(figure=figure.name)
    elif figure.better == "less" and limit <= 0:
        yield f"no file or run can keep {figure.name} at {limit:g}"
    higher = next((name for name in figure.never_above if name in given), None)
    if higher is not None and limit > given[higher]:
        yield (f"{figure.name} is never above {higher}, so {higher} {given[higher]:g} says nothing")


def _wrong_in_maps(given: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        map_, _, inner = key.partition(".")
        if map_ == "speedup" and inner and not _is_size(inner):
            yield key, f"a size is a whole number from 1 to {LARGEST_SIZE}, such as 16 tokens"
        elif (map_ in ("speedup", "regression") and value <= 0) and key != "regression.quality":
            yield key, f"no file or run can be held by {key} at {value:g}"
        elif key == "regression.quality" and value < 0:
            yield key, "it is how much quality may fall, so 0 is the strictest"
