"""Horizontal bars as SVG, with the interval of what varies and the limit that it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from olive_build.report.html.axes import Axis
from olive_build.report.html.markup import Markup, tag
from olive_build.report.html.scatter import LETTER, SERIES

WIDTH = 440
ROW, THICK, TOP, BOTTOM = 26, 14, 6, 40
LONGEST = 34


@dataclass(frozen=True)
class Bar:
    """One value with its label; `low` and `high` are where it lies for certain."""

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    series: int = 0


def bars(name: str, axis: Axis, rows: Sequence[Bar], *, summary: str) -> Markup:
    """Return the chart; `name` is unique in the page, `summary` is what is said of it aloud."""
    left = 12 + LETTER * max(len(shortened(row.label)) for row in rows)
    right = 10 + LETTER * max(len(row.text) for row in rows)
    height = TOP + ROW * len(rows) + BOTTOM

    def place(value: float) -> float:
        return left + axis.place(value) * (WIDTH - left - right)

    parts = [tag("title", summary, id=f"{name}-title"), _grid(axis, height, left, right)]
    for number, row in enumerate(rows):
        middle = TOP + ROW * number + ROW / 2
        start, end = place(axis.low), place(row.value)
        mark = f"bar s{row.series % SERIES}"
        label = shortened(row.label)
        parts.append(tag("text", label, x=left - 8, y=middle + 4, text_anchor="end"))
        top = middle - THICK / 2
        size = {"width": max(end - start, 1), "height": THICK}
        parts.append(tag("rect", x=start, y=top, rx=2, class_=mark, **size))
        beyond = end
        if row.low is not None and row.high is not None:
            low, high = place(row.low), place(row.high)
            ends = f"M{low:.2f},{middle - 4:.2f}v8m0,-4H{high:.2f}m0,-4v8"
            parts.append(tag("path", d=ends, class_="interval"))
            beyond = max(high, end)
        if row.limit is not None:
            at = place(row.limit)
            parts.append(tag("line", x1=at, x2=at, y1=top - 4, y2=top + THICK + 4, class_="goal"))
            beyond = max(beyond, at)
        parts.append(tag("text", row.text, x=beyond + 6, y=middle + 4, class_="label"))
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title",
        class_="plot",
    )


def shortened(label: str) -> str:
    """Return a label that leaves room for its bar: a long one keeps its end, which differs."""
    return label if len(label) <= LONGEST else f"\u2026{label[1 - LONGEST :]}"


def told_apart(names: Sequence[str]) -> list[str]:
    """Return names without the parts, between slashes, that all begin or all end with."""
    parts = [name.split("/") for name in names]
    while len(parts) > 1 and all(len(item) > 1 for item in parts):
        if len({item[0] for item in parts}) == 1:
            parts = [item[1:] for item in parts]
        elif len({item[-1] for item in parts}) == 1:
            parts = [item[:-1] for item in parts]
        else:
            break
    return ["/".join(item) for item in parts]


def _grid(axis: Axis, height: float, left: float, right: float) -> Markup:
    parts = []
    bottom = height - BOTTOM
    for value, text in axis.ticks():
        at = left + axis.place(value) * (WIDTH - left - right)
        parts.append(tag("line", x1=at, x2=at, y1=TOP, y2=bottom, class_="grid"))
        parts.append(tag("text", text, x=at, y=bottom + 16, text_anchor="middle", class_="tick"))
    middle = (left + WIDTH - right) / 2
    parts.append(tag("text", axis.title, x=middle, y=height - 8, text_anchor="middle"))
    return tag("g", *parts, aria_hidden="true")
