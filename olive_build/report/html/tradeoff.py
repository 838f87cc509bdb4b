"""Size against quality against speed: every variant as a point, its budgets as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from olive_build.proof import figures
from olive_build.record.proof import Candidate
from olive_build.report.html.axes import Axis, for_quality, from_zero
from olive_build.report.html.bundles import VariantView
from olive_build.report.html.markup import Markup
from olive_build.report.html.numbers import limit_text, text_of, title_of
from olive_build.report.html.page import figure, plots
from olive_build.report.html.scatter import Guide, Point, scatter

MOST_GUIDES = 4
# Points nearer than this share of the axis in both directions are one mark with two names.
NEAR = 0.012
MOVED = " Hollow: the first build, where it lay elsewhere."


@dataclass(frozen=True)
class _Mark:
    """What is drawn of one variant in one plot."""

    x: float
    y: float
    name: str
    targets: tuple[str, ...]
    series: int
    hollow: bool


def main_figure(variants: Sequence[VariantView]) -> str | None:
    """Return the figure of quality that all variants have and that says most; None if none."""
    return _drawn([item.figures for item in variants], more=False)


def _drawn(found: Sequence[Mapping[str, float]], *, more: bool) -> str | None:
    """Return the figure that all have and that says most, with `more` of those that rise alone."""
    drawn = [(figure.drawn, name) for name, figure in figures.every().items() if figure.drawn]
    return next(
        (
            name
            for _, name in sorted(drawn)
            if all(name in item for item in found) and (_rises(name) or not more)
        ),
        None,
    )


def _rises(quality: str) -> bool:
    return figures.find(quality).better == "more"


def series_of(variants: Sequence[VariantView]) -> dict[str, int]:
    """Return a colour and shape for each variant's name, the same in every plot of a page."""
    return {name: number for number, name in enumerate(sorted({item.name for item in variants}))}


def tradeoff(variants: Sequence[VariantView], past: Sequence[VariantView] = ()) -> Markup | None:
    """Return size against quality and speed against quality; `past` is drawn hollow beside it.

    None where no figure of quality is shared by all.
    """
    quality = main_figure([*variants, *past])
    if quality is None:
        return None
    series = series_of([*variants, *past])
    floors = _limits(variants, quality, series)
    every = [*variants, *past]
    if len({item.target for item in every}) == 1:  # it would be said at every mark
        variants = [replace(item, target="") for item in variants]
        past = [replace(item, target="") for item in past]
    values = [item.figures[quality] for item in every] + [guide.value for guide in floors]
    y = _quality_axis(quality, values)
    found = [_by_size(variants, past, y, quality, series, floors)]
    if any(item.speed for item in every):
        found.append(_by_speed(variants, past, y, quality, series, floors))
    return plots(*found)


def _quality_axis(quality: str, values: Sequence[float]) -> Axis:
    if _rises(quality):
        return for_quality(title_of(quality), values)
    return from_zero(f"{title_of(quality)}: less is better", values)


def _better(quality: str) -> str:
    """Return in which direction quality is better."""
    return "Up" if _rises(quality) else "Down"


def _by_size(
    variants: Sequence[VariantView],
    past: Sequence[VariantView],
    y: Axis,
    quality: str,
    series: dict[str, int],
    floors: Sequence[Guide],
) -> Markup:
    ceilings = _size_limits(variants, series)
    sizes = [item.proof.size_bytes / 1e6 for item in (*variants, *past)]
    x = from_zero("size in MB: less is better", sizes)
    inside = [guide for guide in ceilings if guide.value <= x.high]
    marks = [
        _Mark(
            item.proof.size_bytes / 1e6,
            item.figures[quality],
            item.name,
            (item.target,),
            number,
            old,
        )
        for items, old in ((variants, False), (past, True))
        for item in items
        for number in [series[item.name]]
    ]
    points = [_point(mark, f"{mark.x:.1f} MB", quality) for mark in _merged(marks, x, y)]
    said = f"Size against {title_of(quality)}: {_said(points)}."
    plot = scatter("by-size", x, y, points, guides=[*floors, *inside], summary=said)
    caption = f"{_better(quality)} and to the left is better. Dashed lines are budgets."
    return figure(plot, caption + MOVED * bool(past))


def _by_speed(
    variants: Sequence[VariantView],
    past: Sequence[VariantView],
    y: Axis,
    quality: str,
    series: dict[str, int],
    floors: Sequence[Guide],
) -> Markup:
    marks = [
        _Mark(item.speed.times, item.figures[quality], item.name, (item.target,), number, old)
        for items, old in ((variants, False), (past, True))
        for item in items
        for number in [series[item.name]]
        if item.speed
    ]
    places = sorted({item.speed.place for item in (*variants, *past) if item.speed})
    limits = _speed_limits(variants, series)
    values = [1.0, *(mark.x for mark in marks), *(guide.value for guide in limits)]
    x = from_zero(f"times PyTorch eager, {places[0]}: more is better", values)
    points = [_point(mark, f"{mark.x:.2f} \u00d7", quality) for mark in _merged(marks, x, y)]
    here = {mark.series for mark in marks}
    floors = [guide for guide in floors if guide.series in here]
    guides = [*floors, *limits, Guide("x", 1.0, "PyTorch eager")]
    said = f"Speed against {title_of(quality)}: {_said(points)}."
    plot = scatter("by-speed", x, y, points, guides=guides, summary=said)
    caption = f"{_better(quality)} and to the right is better. Only what was timed is here."
    return figure(plot, caption + MOVED * bool(past))


def _point(mark: _Mark, x_text: str, quality: str) -> Point:
    targets = f" ({', '.join(mark.targets)})" if any(mark.targets) else ""
    label = f"{mark.name}{targets}" + ", before" * mark.hollow
    note = f"{x_text}, {title_of(quality)} {text_of(quality, mark.y)}"
    return Point(mark.x, mark.y, label, mark.series, mark.hollow, note)


def _said(points: Sequence[Point]) -> str:
    return "; ".join(f"{point.label}: {point.note}" for point in points)


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
                kept[number] = _Mark(
                    other.x, other.y, other.name, targets, other.series, other.hollow
                )
                break
        else:
            kept.append(mark)
    return kept


def _limits(variants: Sequence[VariantView], figure: str, series: dict[str, int]) -> list[Guide]:
    """Return the limits of a figure of quality, one line for each variant's name."""
    sign = "\u2265" if _rises(figure) else "\u2264"
    found = {
        (item.name, item.proof.limits.figures[figure])
        for item in variants
        if figure in item.proof.limits.figures
    }
    guides = [
        Guide("y", value, f"{name} {sign} {limit_text(figure, value)}", series[name])
        for name, value in sorted(found)
    ]
    return guides[:MOST_GUIDES]


def _size_limits(variants: Sequence[VariantView], series: dict[str, int]) -> list[Guide]:
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
    guides = [
        Guide("x", value, f"{name} \u2264 {value:.1f} MB", series[name])
        for name, value in sorted(found.items())
    ]
    return guides[:MOST_GUIDES]


def _speed_limits(variants: Sequence[VariantView], series: dict[str, int]) -> list[Guide]:
    """Return the floors on speed at the size that the plot shows."""
    found = {
        (item.name, gate.limit)
        for item in variants
        for gate in item.proof.gates
        if gate.figure == "speedup" and item.speed and gate.size == item.speed.row.tokens
    }
    return [
        Guide("x", value, f"{name} \u2265 {value:g} \u00d7", series[name])
        for name, value in sorted(found)
    ][:MOST_GUIDES]


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other beats in both: smaller x, larger y; by x."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def search_plots(name: str, candidates: Sequence[Candidate]) -> Markup | None:
    """Return a search's candidates with the front of the best; None where nothing can be drawn."""
    # The front is of what is more.
    quality = _drawn([item.figures for item in candidates], more=True)
    if quality is None:
        return None
    y = for_quality(title_of(quality), [item.figures[quality] for item in candidates])
    found = []
    for key, title in (
        ("latency_ratio", "latency against the fp32 graph: less is better"),
        ("size_ratio", "size against the fp32 graph: less is better"),
    ):
        pairs = [(item, getattr(item, key)) for item in candidates]
        drawn = [(item, value) for item, value in pairs if value is not None]
        if drawn:
            found.append(_search_plot(f"{name}-{key}", title, y, quality, drawn))
    return plots(*found) if found else None


def _search_plot(
    name: str,
    title: str,
    y: Axis,
    quality: str,
    drawn: Sequence[tuple[Candidate, float]],
) -> Markup:
    x = from_zero(title, [value for _, value in drawn])
    best = front([(value, item.figures[quality]) for item, value in drawn])
    points = [
        Point(
            value,
            item.figures[quality],
            f"{item.name} (chosen)" if item.chosen else "",
            series=2 if item.chosen else 0,
            hollow=not item.holds,
            note=f"{item.name}: {value:.3g}, {text_of(quality, item.figures[quality])}",
        )
        for item, value in drawn
    ]
    chosen = [item.name for item, _ in drawn if item.chosen]
    said = f"{len(drawn)} candidates, {title}. Chosen: {', '.join(chosen) or 'none'}."
    plot = scatter(name, x, y, points, front=best, summary=said)
    caption = "The line joins what nothing else beats in both. Hollow marks miss a budget."
    return figure(plot, caption)
