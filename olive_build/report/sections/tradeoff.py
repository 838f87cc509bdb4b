"""Size against quality against speed: every variant as a point, its budgets as lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from olive_build.proof import figures
from olive_build.report.blocks import Chart, Section
from olive_build.report.builds import Build, VariantView
from olive_build.report.charts import Axis, Guide, Point, Scatter, for_quality, from_zero
from olive_build.report.comparison import Comparison
from olive_build.report.numbers import limit_text, text_of, title_of
from olive_build.report.sections import Capability

MOST_GUIDES = 4
# Points nearer than this share of the axis in both directions are one mark with two names.
NEAR = 0.012
MOVED = " Hollow: the first build, where it lay elsewhere."


def of_one(build: Build) -> Iterator[Section]:
    """Yield the plots; what is not run has nothing to trade."""
    yield from _section(build.to_run, [])


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield the plots of the second build, with the first one's points hollow beside them."""
    new, old = (
        [item for bundle in bundles for item in bundle.variants if item.is_run]
        for bundles in ([pair.new for pair in found.pairs], [pair.old for pair in found.pairs])
    )
    yield from _section(new, old)


def _section(variants: Sequence[VariantView], past: Sequence[VariantView]) -> Iterator[Section]:
    if charts := _charts(variants, past) if variants else ():
        yield Section("tradeoff", "Size, quality, speed", charts)


@dataclass(frozen=True)
class _Mark:
    """What is drawn of one variant in one plot."""

    x: float
    y: float
    name: str
    targets: tuple[str, ...]
    series: int
    hollow: bool


@dataclass(frozen=True)
class _Plots:
    """What both plots of a page share: the variants, those of the past, and the axis upwards."""

    variants: Sequence[VariantView]
    past: Sequence[VariantView]
    quality: str
    series: Mapping[str, int]
    y: Axis

    @property
    def every(self) -> list[VariantView]:
        return [*self.variants, *self.past]

    def marks(self, x_of: Callable[[VariantView], float | None]) -> list[_Mark]:
        """Return a mark of each variant that has a place; its target where there are several."""
        several = len({item.target for item in self.every}) > 1
        return [
            _Mark(
                x,
                item.figures[self.quality],
                item.name,
                (item.target,) if several else (),
                self.series[item.name],
                old,
            )
            for items, old in ((self.variants, False), (self.past, True))
            for item in items
            if (x := x_of(item)) is not None
        ]


def shared_figure(found: Sequence[Mapping[str, float]], *, rising: bool = False) -> str | None:
    """Return the figure that all have and that says most, with `rising` of those alone that rise.

    None where no figure is shared by all.
    """
    drawn = sorted((item.drawn, name) for name, item in figures.every().items() if item.drawn)
    shared = (name for _, name in drawn if all(name in item for item in found))
    return next((name for name in shared if _rises(name) or not rising), None)


def _rises(quality: str) -> bool:
    return figures.find(quality).better == "more"


def series_of(variants: Sequence[VariantView]) -> dict[str, int]:
    """Return a colour and shape for each variant's name, the same in every plot of a page."""
    return {name: number for number, name in enumerate(sorted({item.name for item in variants}))}


def _charts(variants: Sequence[VariantView], past: Sequence[VariantView]) -> tuple[Chart, ...]:
    """Return size and speed against quality; none where no figure of quality is shared by all."""
    every = [*variants, *past]
    quality = shared_figure([item.figures for item in every])
    if quality is None:
        return ()
    series = series_of(every)
    floors = _limits(variants, quality, series)
    values = [item.figures[quality] for item in every] + [guide.value for guide in floors]
    if _rises(quality):
        y = for_quality(title_of(quality), values)
    else:
        y = from_zero(f"{title_of(quality)}: less is better", values)
    shared = _Plots(variants, past, quality, series, y)
    by_size = _by_size(shared, floors)
    return (by_size, _by_speed(shared, floors)) if any(item.speed for item in every) else (by_size,)


def _by_size(shared: _Plots, floors: Sequence[Guide]) -> Chart:
    marks = shared.marks(lambda item: item.proof.size_bytes / 1e6)
    x = from_zero("size in MB: less is better", [mark.x for mark in marks])
    ceilings = _size_limits(shared.variants, shared.series)
    inside = [guide for guide in ceilings if guide.value <= x.high]
    caption = "to the left is better. Dashed lines are budgets."
    return _chart("size", shared, marks, x, [*floors, *inside], "{:.1f} MB", caption)


def _by_speed(shared: _Plots, floors: Sequence[Guide]) -> Chart:
    marks = shared.marks(lambda item: item.speed.times if item.speed else None)
    place = min(item.speed.place for item in shared.every if item.speed)
    limits = _speed_limits(shared.variants, shared.series)
    values = [1.0, *(mark.x for mark in marks), *(guide.value for guide in limits)]
    x = from_zero(f"times PyTorch eager, {place}: more is better", values)
    here = {mark.series for mark in marks}
    guides = [guide for guide in floors if guide.series in here]
    guides += [*limits, Guide("x", 1.0, "PyTorch eager")]
    caption = "to the right is better. Only what was timed is here."
    return _chart("speed", shared, marks, x, guides, "{:.2f} \u00d7", caption)


def _chart(
    what: str,
    shared: _Plots,
    marks: Sequence[_Mark],
    x: Axis,
    guides: Sequence[Guide],
    x_text: str,
    caption: str,
) -> Chart:
    title = title_of(shared.quality)
    points = []
    for mark in _merged(marks, x, shared.y):
        targets = f" ({', '.join(mark.targets)})" if mark.targets else ""
        label = f"{mark.name}{targets}" + ", before" * mark.hollow
        note = f"{x_text.format(mark.x)}, {title} {text_of(shared.quality, mark.y)}"
        points.append(Point(mark.x, mark.y, label, mark.series, mark.hollow, note))
    said = "; ".join(f"{point.label}: {point.note}" for point in points)
    better = "Up" if _rises(shared.quality) else "Down"
    return Chart(
        f"by-{what}",
        Scatter(x, shared.y, tuple(points), tuple(guides)),
        f"{what.capitalize()} against {title}: {said}.",
        f"{better} and {caption}" + MOVED * bool(shared.past),
    )


def _merged(marks: Sequence[_Mark], x: Axis, y: Axis) -> list[_Mark]:
    """Return the marks, those of one variant that lie on each other as one with all targets.

    One of the past that has not moved is left out; those of now come first.
    """
    kept: list[_Mark] = []
    for mark in marks:
        for number, other in enumerate(kept):
            near = abs(x.place(mark.x) - x.place(other.x)) < NEAR
            near = near and abs(y.place(mark.y) - y.place(other.y)) < NEAR
            if near and mark.name == other.name and mark.hollow and not other.hollow:
                break  # where it is now, it was before
            if near and (mark.name, mark.hollow) == (other.name, other.hollow):
                targets = tuple(dict.fromkeys((*other.targets, *mark.targets)))
                kept[number] = replace(other, targets=targets)
                break
        else:
            kept.append(mark)
    return kept


def _guides(
    along: Literal["x", "y"],
    found: Iterable[tuple[str, float]],
    series: Mapping[str, int],
    text: Callable[[float], str],
) -> list[Guide]:
    """Return the limits of variants by name, a line for each."""
    lines = sorted(set(found))[:MOST_GUIDES]
    return [Guide(along, value, f"{name} {text(value)}", series[name]) for name, value in lines]


def _limits(variants: Sequence[VariantView], figure: str, series: Mapping[str, int]) -> list[Guide]:
    """Return the limits of a figure of quality, one line for each variant's name."""
    sign = "\u2265" if _rises(figure) else "\u2264"
    limits = [(item.name, item.proof.limits.figures.get(figure)) for item in variants]
    found = [(name, value) for name, value in limits if value is not None]
    return _guides("y", found, series, lambda value: f"{sign} {limit_text(figure, value)}")


def _size_limits(variants: Sequence[VariantView], series: Mapping[str, int]) -> list[Guide]:
    """Return the ceilings on size, in MB; one that is the fp32 graph's own size limits nothing."""
    found = {}
    for item in variants:
        limits = item.proof.limits.figures
        ceilings = [limits["size_mb"]] if "size_mb" in limits else []
        ratio = limits.get("size_ratio", 1.0)
        if ratio < 1:
            ceilings.append(ratio * item.proof.fp32_bytes / 1e6)
        if ceilings:
            found[item.name] = min(ceilings)
    return _guides("x", found.items(), series, "\u2264 {:.1f} MB".format)


def _speed_limits(variants: Sequence[VariantView], series: Mapping[str, int]) -> list[Guide]:
    """Return the floors on speed at the size that the plot shows."""
    found = [
        (item.name, gate.limit)
        for item in variants
        for gate in item.proof.gates
        if gate.figure == "speedup" and item.speed and gate.size == item.speed.row.tokens
    ]
    return _guides("x", found, series, "\u2265 {:g} \u00d7".format)


CAPABILITY = Capability(30, of_one, of_two)
