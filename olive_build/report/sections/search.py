"""What searches tried, as plots and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olive_build.record.proof import Candidate, Search
from olive_build.report.blocks import Cell, Chart, Section, Table, Text, status, table
from olive_build.report.builds import Build
from olive_build.report.charts import Axis, Point, Scatter, for_quality, from_zero
from olive_build.report.numbers import figure_columns, number, text_of, title_of
from olive_build.report.sections import Capability
from olive_build.report.sections.tradeoff import shared_figure

RATIOS = (
    ("latency_ratio", "latency against the fp32 graph: less is better"),
    ("size_ratio", "size against the fp32 graph: less is better"),
)


def of_one(build: Build) -> Iterator[Section]:
    """Yield a section for each variant that was searched."""
    for count, item in enumerate(build.variants, 1):
        if found := item.search.candidates:
            name, summary = f"search-{count}", item.search.summary
            blocks = (
                *((Text(summary),) if summary else ()),
                *_charts(name, found),
                _table(f"{name}-table", item.search),
            )
            yield Section(name, f"What the search tried: {item.target} {item.name}", blocks)


def _charts(name: str, candidates: Sequence[Candidate]) -> Iterator[Chart]:
    """Yield the candidates with the front of the best; none where nothing can be drawn."""
    # The front is of what is more.
    quality = shared_figure([item.figures for item in candidates], rising=True)
    if quality is None:
        return
    y = for_quality(title_of(quality), [item.figures[quality] for item in candidates])
    for key, title in RATIOS:
        pairs = [(item, getattr(item, key)) for item in candidates]
        if drawn := [(item, value) for item, value in pairs if value is not None]:
            yield _chart(f"{name}-{key}", title, y, quality, drawn)


def _chart(
    name: str, title: str, y: Axis, quality: str, drawn: Sequence[tuple[Candidate, float]]
) -> Chart:
    best = front([(value, item.figures[quality]) for item, value in drawn])
    points = tuple(
        Point(
            value,
            item.figures[quality],
            f"{item.name} (chosen)" if item.chosen else "",
            series=2 if item.chosen else 0,
            hollow=not item.holds,
            note=f"{item.name}: {value:.3g}, {text_of(quality, item.figures[quality])}",
        )
        for item, value in drawn
    )
    x = from_zero(title, [value for _, value in drawn])
    chosen = ", ".join(item.name for item, _ in drawn if item.chosen)
    return Chart(
        name,
        Scatter(x, y, points, front=tuple(best)),
        f"{len(drawn)} candidates, {title}. Chosen: {chosen or 'none'}.",
        "The line joins what nothing else beats in both. Hollow marks miss a budget.",
    )


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other beats in both: smaller x, larger y; by x."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def _table(name: str, search: Search) -> Table:
    figures = dict.fromkeys(key for one in search.candidates for key in one.figures)
    return table(
        name,
        f"{len(search.candidates)} candidates; size and latency against the fp32 graph.",
        search.candidates,
        ("Candidate", "name", lambda one: Cell(one.name, remark="chosen" if one.chosen else "")),
        ("Size", "number", lambda one: number(one.size_ratio, "{:.1%}")),
        ("Latency", "number", lambda one: number(one.latency_ratio, "{:.3g} \u00d7")),
        *figure_columns(figures),
        ("Budget", "", lambda one: status("held" if one.holds else "missed")),
    )


CAPABILITY = Capability(70, of_one)
