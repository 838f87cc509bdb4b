"""Figures: what is measured of a model, as data. One file here for each group of them.

A kind of reference gives a number under a figure's name, or the figure has a `measure` of its own.
Everything else follows from what stands here: the budget that a recipe may write and its
documentation, the limit where it writes none, the verdict, what a search goes by, what is compared
with the build before, and how reports show it. A file has `FIGURES`; nothing else names them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from olive_build import rooms

if TYPE_CHECKING:
    from olive_build.proof.reference import Reference
    from olive_build.record.proof import VariantProof


@dataclass(frozen=True)
class Unit:
    """The unit of a number: how it is written, and its lowest and highest value.

    A number is written times `scale` with the format `digits` and `after` behind it. `low` and
    `high` are the least and the most that there can be, and `beyond` says why a budget outside of
    them cannot be meant, where `{figure}` stands for the name. `whole` is the number that is all
    there is, such as 100 points: None where numbers are no share of anything.
    """

    digits: str
    after: str = ""
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    beyond: str = ""
    whole: float | None = None

    def text(self, value: float) -> str:
        """Return a number as people read it: `0.99123`, `25.6 %`, `1,234 MB`."""
        number = value * self.scale
        digits = ",.0f" if self.digits.endswith("g") and number >= 1000 else self.digits
        return f"{number:{digits}}{self.after}"

    def limit_text(self, value: float) -> str:
        """Return a limit in words, without more digits than it has: `26 %`."""
        return f"{value * self.scale:g}{self.after}"


CORRELATION = Unit(".5f", low=-1, high=1, beyond="{figure} is a correlation, from -1 to 1", whole=1)
_SHARE = "{figure} is a share, from 0 to 1"
SHARE = Unit(".2f", " %", 100, low=0, high=1, beyond=_SHARE, whole=1)
POINTS = Unit(
    ".2f", " points", low=0, high=100, beyond="{figure} is in points, from 0 to 100", whole=100
)
DIFFERENCE = Unit(".1e")
GREY_LEVELS = Unit(".2f")
SIZE_RATIO = Unit(".1f", " %", 100)
TIMES = Unit(".3g", " \u00d7")
FINE_TIMES = Unit(".4f", " \u00d7")
MEGABYTES = Unit(".3g", " MB")
MILLISECONDS = Unit(".3g", " ms")
COUNT = Unit("g")
NUMBER = Unit(".5f")


@dataclass(frozen=True)
class Median:
    """A figure that varies: its median, where it lies for certain, and whether others disturbed."""

    value: float
    low: float
    high: float
    noisy: bool = False


@dataclass(frozen=True)
class Limits:
    """The limits of a figure where a recipe gives none: by precision and by a variant's name.

    Those of a name, such as `faithful`, win: they are what it promises, whatever the method is.
    """

    by_precision: Mapping[str, float] = field(default_factory=dict)
    by_variant: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Figure:
    """A number with a direction.

    `title` is its name in words, `short` the head of a column. `best` is where nothing is lost: 1
    or 0 unless it is said. `budget` says what a recipe's budget of that name asks; without it, no
    recipe gives one. A figure of quality has `metrics`: how it is limited in the models of each
    metric that measures it. `limit` is the one for every model. `never_above` are figures of the
    same samples that are as high or higher. `regression` is the budget on losses against the build
    before, for what is no share of anything. `searched` is false where no quantization moves it.
    `drawn` is the place in which it is taken for plots, 1 first. `told` are the metrics in whose
    models the table of a build tells it. `tolerance` is how far it may be off where it is measured
    again on another machine, for each whole 1 of what was recorded, and 1 at least. `measure` gives
    the figure of a file's outputs and PyTorch's, where the kind of reference does not do so itself.
    `cost` gives what is recorded of a variant: a number, or one that varies under each condition;
    None where it was not measured. The fp32 graph itself has no figure that is `against_fp32`.
    `hint` says what to do where its limit is not kept, unless budgets are to be loosened.
    """

    name: str
    title: str
    unit: Unit
    better: Literal["more", "less"]
    short: str = ""
    best: float | None = None
    budget: str = ""
    metrics: Mapping[str, Limits] = field(default_factory=dict)
    limit: float | None = None
    never_above: tuple[str, ...] = ()
    regression: Literal["perplexity"] | None = None
    searched: bool = True
    drawn: int | None = None
    told: tuple[str, ...] = ()
    tolerance: float = 0.02
    measure: Callable[[Reference, Any, Any], float] | None = None
    cost: Callable[[VariantProof], float | Sequence[Median] | None] | None = None
    against_fp32: bool = False
    hint: str = ""

    @property
    def bound(self) -> Literal["at least", "at most"]:
        """Whether the limit is the least or the most that a value may be."""
        return "at least" if self.better == "more" else "at most"

    @property
    def head(self) -> str:
        """The head of a column."""
        return self.short or self.title[:1].upper() + self.title[1:]

    def holds(self, value: float, limit: float) -> bool:
        """Whether a value meets a limit; NaN meets none."""
        return value >= limit if self.better == "more" else value <= limit

    def worst(self, values: Iterable[float]) -> float:
        """Return the worst of some values. Raises ValueError for none at all."""
        return min(values) if self.better == "more" else max(values)

    @property
    def falls_under(self) -> Literal["quality", "perplexity"] | None:
        """The budget of `regression` that limits its loss against the build before, or None."""
        is_share = self.metrics and self.unit.whole is not None
        return self.regression or ("quality" if is_share else None)

    def lost(self, value: float, limit: float, share: float = 1.0) -> float:
        """Return the loss as a share of what a limit allows; at most 1 holds."""
        sign = -1.0 if self.better == "more" else 1.0
        # Whoever asks for more than the best that there is asks for that.
        best = self.best if self.best is not None else max(-sign, 0.0)
        best = limit if sign * (limit - best) < 0 else best
        return sign * (value - best) / max(sign * (limit - best) * share, NO_LOSS)

    def is_near(self, value: float, recorded: float) -> bool:
        """Whether a value from another machine agrees with the recorded one."""
        return abs(value - recorded) <= self.tolerance * max(1.0, abs(recorded))

    def text(self, value: float) -> str:
        """Return a value as people read it."""
        return self.unit.text(value)


# Losses are compared as ratios; this one counts as none at all.
NO_LOSS = 1e-9


def every() -> Mapping[str, Figure]:
    """Return all figures by name: quality first, then cost, then training.

    Raises ValueError where two files name one figure.
    """
    return _every(rooms.extensions())


@cache
def _every(joined: tuple[Path, ...]) -> Mapping[str, Figure]:
    found: dict[str, Figure] = {}
    for name in rooms.names("proof.figures"):
        for figure in rooms.module("proof.figures", name).FIGURES:
            if figure.name in found:
                raise ValueError(f"the figure {figure.name!r} stands in two files of proof/figures")
            found[figure.name] = figure
    ranked = sorted(found.values(), key=lambda item: (not item.metrics, not item.budget))
    return {figure.name: figure for figure in ranked}


def find(name: str) -> Figure:
    """Return the figure of that name; for an unknown name, one that knows nothing but its name.

    Bundles of others, and of other versions, may have those.
    """
    return every().get(name) or Figure(name, name.replace("_", " "), NUMBER, "less")


def of_quality() -> tuple[str, ...]:
    """Return the names of what is measured against PyTorch or the truth, of all metrics."""
    return tuple(name for name, figure in every().items() if figure.metrics)


def of_metrics(metrics: Collection[str]) -> tuple[str, ...]:
    """Return the names of what is measured in models of these metrics."""
    return tuple(name for name, item in every().items() if {*metrics} & {*item.metrics})


def budgets() -> tuple[Figure, ...]:
    """Return the figures that a recipe may limit."""
    return tuple(figure for figure in every().values() if figure.budget)


def shipped(metrics: Collection[str], precision: str, variant: str = "") -> dict[str, float]:
    """Return the limits of quality where a recipe gives none, by figure.

    They are those of a precision and of a variant's name, in models of these metrics.
    """
    found: dict[str, float] = {}
    for name, figure in every().items():
        for metric in metrics:
            limits = figure.metrics.get(metric, Limits())
            if variant in limits.by_variant:
                found[name] = limits.by_variant[variant]
            elif precision in limits.by_precision:
                found[name] = limits.by_precision[precision]
    return found


def shipped_ceilings() -> dict[str, float]:
    """Return the limits of what a file costs where a recipe gives none, by figure."""
    return {item.name: item.limit for item in budgets() if item.limit is not None}


def what_to_do(failed: Collection[str]) -> str:
    """Return the hint of the first of these figures that has one; "" without any."""
    hints = (item.hint for name, item in every().items() if name in failed)
    return next(filter(None, hints), "")


def worst(
    forms: Sequence[Mapping[str, Any]], names: Collection[str] | None = None
) -> dict[str, float]:
    """Return the worst of several measurements, figure by figure, of what all of them have.

    `names` are those of all qualities unless others are given.
    """
    return {
        name: find(name).worst(float(form[name]) for form in forms)
        for name in (of_quality() if names is None else names)
        if forms and all(name in form for form in forms)
    }
