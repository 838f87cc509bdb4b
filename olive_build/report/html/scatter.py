"""A scatter plot as SVG: labelled points, limits as lines, a front through some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from olive_build.report.html.axes import Axis
from olive_build.report.html.markup import Markup, join, tag

WIDTH, HEIGHT = 440, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 14, 44
LINE = 15
LETTER = 6.6
SERIES = 6
CORNERS = {
    1: ((-5, -5), (5, -5), (5, 5), (-5, 5)),
    2: ((0, -6), (6, 5), (-6, 5)),
    3: ((0, -7), (7, 0), (0, 7), (-7, 0)),
    4: ((0, 6), (6, -5), (-6, -5)),
    5: ((-5, -7), (0, -2), (5, -7), (7, -5), (2, 0), (7, 5), (5, 7), (0, 2), (-5, 7), (-7, 5)),
}


@dataclass(frozen=True)
class Point:
    """One mark. `series` chooses its colour and shape; a hollow one is of the past, or unfit."""

    x: float
    y: float
    label: str
    series: int = 0
    hollow: bool = False
    note: str = ""


@dataclass(frozen=True)
class Guide:
    """A limit: a dashed line across at a value of the axis `along`, with its text.

    One without a series is nobody's: something to compare with.
    """

    along: str  # x or y
    value: float
    label: str
    series: int | None = None


@dataclass(frozen=True)
class _Box:
    """Where a label is, in the units of the drawing."""

    x: float
    y: float
    width: float
    anchor: str

    @property
    def left(self) -> float:
        return self.x - self.width if self.anchor == "end" else self.x

    def overlaps(self, other: _Box) -> bool:
        aside = self.left >= other.left + other.width or other.left >= self.left + self.width
        return not aside and abs(self.y - other.y) < LINE


def scatter(
    name: str,
    x: Axis,
    y: Axis,
    points: Sequence[Point],
    *,
    guides: Sequence[Guide] = (),
    front: Sequence[tuple[float, float]] = (),
    summary: str,
) -> Markup:
    """Return the plot; `name` is unique in the page, `summary` is what is said of it aloud."""
    placed = [(point, _x(x, point.x), _y(y, point.y)) for point in points]
    taken = [_Box(px - 6, py + 4, 12, "start") for _, px, py in placed]
    lines = _guides(x, y, guides, taken)
    marks = []
    for point, px, py in sorted(placed, key=lambda item: (item[2], item[1], item[0].label)):
        marks.append(_point(point, px, py, taken))
    return tag(
        "svg",
        tag("title", summary, id=f"{name}-title"),
        _frame(x, y),
        lines,
        _front(x, y, front),
        *marks,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title",
        class_="plot",
    )


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _frame(x: Axis, y: Axis) -> Markup:
    bottom, middle = HEIGHT - BOTTOM, (HEIGHT - BOTTOM + TOP) / 2
    parts = []
    for value, text in y.ticks():
        at = _y(y, value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", text, x=LEFT - 8, y=at + 4, text_anchor="end", class_="tick"))
    for value, text in x.ticks():
        at = _x(x, value)
        parts.append(tag("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis"))
        parts.append(tag("text", text, x=at, y=bottom + 18, text_anchor="middle", class_="tick"))
    parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="axis"))
    parts.append(
        tag("text", x.title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle")
    )
    turned = f"rotate(-90 12 {middle:.6g})"
    parts.append(tag("text", y.title, x=12, y=middle, text_anchor="middle", transform=turned))
    return tag("g", *parts, aria_hidden="true")


def _guides(x: Axis, y: Axis, guides: Sequence[Guide], taken: list[_Box]) -> Markup:
    """Return the lines of limits; the boxes of their labels are added to those taken."""
    parts = []
    bottom = HEIGHT - BOTTOM
    for guide in guides:
        colour = "neutral" if guide.series is None else f"s{guide.series % SERIES}"
        width = len(guide.label) * LETTER
        if guide.along == "x":
            at = _x(x, guide.value)
            ends = {"x1": at, "x2": at, "y1": TOP, "y2": bottom}
            beside = at + 5 + width < WIDTH - RIGHT
            box = _Box(at + (5 if beside else -5), TOP + 10, width, "start" if beside else "end")
        else:
            at = _y(y, guide.value)
            ends = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": at, "y2": at}
            box = _Box(WIDTH - RIGHT, at - 5, width, "end")
        box = _free(box, taken)
        taken.append(box)
        parts.append(tag("line", class_=f"limit {colour}", **ends))
        parts.append(_text(guide.label, box, f"limit-text {colour}"))
    return tag("g", *parts, aria_hidden="true")


def _free(box: _Box, taken: Sequence[_Box]) -> _Box:
    """Return the box, moved down or up by whole lines until it overlaps nothing that is there."""
    for number in range(24):
        step = (number + 1) // 2 * (1 if number % 2 else -1)
        moved = _Box(box.x, box.y + step * LINE, box.width, box.anchor)
        inside = TOP + 8 <= moved.y <= HEIGHT - BOTTOM - 2
        if inside and not any(moved.overlaps(other) for other in taken):
            return moved
    return box


def _point(point: Point, px: float, py: float, taken: list[_Box]) -> Markup:
    said = ": ".join(filter(None, (point.label, point.note)))
    colour = f"mark s{point.series % SERIES}" + " hollow" * point.hollow
    shape = tag("path", d=_shape(point.series, px, py), class_=colour)
    if not point.label:
        return tag("g", tag("title", said), shape)
    width = len(point.label) * LETTER
    right = px + 10 + width < WIDTH
    box = _Box(px + (10 if right else -10), py + 4, width, "start" if right else "end")
    box = _free(box, taken)
    taken.append(box)
    leader = None
    if abs(box.y - 4 - py) > LINE:
        leader = tag("line", x1=px, y1=py, x2=box.x, y2=box.y - 4, class_="leader")
    return tag("g", tag("title", said), leader, shape, _text(point.label, box, "label"))


def _text(text: str, box: _Box, class_: str) -> Markup:
    return tag("text", text, x=box.x, y=box.y, text_anchor=box.anchor, class_=class_)


def _shape(series: int, x: float, y: float) -> str:
    """Return the outline of a series' mark, about 12 wide: nobody needs to see its colour."""
    corners = CORNERS.get(series % SERIES)
    if corners is None:
        return f"M{x - 5.5:.2f},{y:.2f}a5.5,5.5 0 1 0 11,0a5.5,5.5 0 1 0 -11,0z"
    return "M" + "L".join(f"{x + dx:.2f},{y + dy:.2f}" for dx, dy in corners) + "z"


def _front(x: Axis, y: Axis, front: Sequence[tuple[float, float]]) -> Markup:
    if len(front) < 2:
        return join()
    line = " ".join(f"{_x(x, a):.2f},{_y(y, b):.2f}" for a, b in front)
    return tag("polyline", points=line, class_="front")
