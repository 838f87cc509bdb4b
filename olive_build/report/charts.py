"""All charts, drawn as SVG: scatter plots, bars, the losses of a training, damage by layer.

A scatter plot and bars are parts of a page, which gives them their colours; losses and damage are
files by themselves, light or dark as the viewer is. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from olive_build.report.damage import LayerView
from olive_build.report.render.markup import Markup, join, tag

# Nearer to 1 than fp32 can tell apart: drawn at the end of a scale of nines.
NEAREST = 1e-6
NINES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99999)
DECADES = (0.9, 0.99, 0.999, 0.9999, 0.99999)
MOST_TICKS = 8
# Differences of fp32 kernels among themselves: no figure of quality is nearer to 1 on purpose.
EXACT = 2e-5


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`.

    `nines` is for figures whose best is 1: equal steps are equal factors of what is missing to 1.
    `unit` is written after each tick's value.
    """

    title: str
    low: float
    high: float
    kind: Literal["linear", "nines"] = "linear"
    unit: str = ""

    def place(self, value: float) -> float:
        """Return where a value lies from 0 (low) to 1 (high); outside of it, at the nearer end."""
        low, high, at = (self._scaled(item) for item in (self.low, self.high, value))
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def _scaled(self, value: float) -> float:
        return value if self.kind == "linear" else -math.log10(max(1 - value, NEAREST))

    def ticks(self) -> list[tuple[float, str]]:
        """Return the values with a tick, and their texts."""
        if self.kind == "linear":
            return [(value, f"{value:g}{self.unit}") for value in steps(self.low, self.high)]
        found = [value for value in NINES if self.low <= value <= self.high]
        if len(found) > MOST_TICKS:
            found = [value for value in found if value in DECADES]
        below = [(value, f"{value:g}") for value in found if value < self.high]
        # What lies beyond is drawn here too.
        return [*below, (self.high, f"\u2265 {self.high:g}")]


def steps(low: float, high: float, count: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten, about `count` from low to high."""
    step = _step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def around(low: float, high: float) -> list[float]:
    """Return round numbers that enclose both, some five of them, in steps of 1, 2 or 5."""
    step = _step((high - low) or 1.0, 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _step(span: float, count: int) -> float:
    """Return 1, 2 or 5 times a power of ten, with which `count` steps or fewer go into the span."""
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def from_zero(title: str, values: Sequence[float], unit: str = "") -> Axis:
    """Return a linear axis from 0 to a little beyond the largest value."""
    most = max([value for value in values if math.isfinite(value)], default=1.0) or 1.0
    return Axis(title, 0.0, most * 1.08, unit=unit)


def for_quality(title: str, values: Sequence[float]) -> Axis:
    """Return the axis of a figure whose best is 1, in nines where all are above a half.

    What is as good as exact does not stretch it: beyond the next nines above the best of the
    others, everything lies on the upper end, whose tick says so.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if low < 0.5 or high > 1:
        room = (high - low or 1.0) * 0.08
        return Axis(title, low - room, high + room)
    lower = 1 - min(max(1 - low, 20 * EXACT) * 1.5, 0.5)
    inexact = [1 - value for value in finite if 1 - value > EXACT]
    best = 1 - min(inexact, default=EXACT) / 2.5
    upper = next((value for value in NINES if value >= best and value > lower), NINES[-1])
    return Axis(title, lower, max(upper, lower + (1 - lower) / 2), "nines")


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

    along: Literal["x", "y"]
    value: float
    label: str
    series: int | None = None


@dataclass(frozen=True)
class Scatter:
    """Labelled points, limits as lines, and a front through some of the points."""

    x: Axis
    y: Axis
    points: tuple[Point, ...]
    guides: tuple[Guide, ...] = ()
    front: tuple[tuple[float, float], ...] = ()


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


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, with the interval of what varies and the limit that it is held to."""

    axis: Axis
    bars: tuple[Bar, ...]


def draw(drawing: Scatter | Bars, name: str, summary: str) -> Markup:
    """Return the chart; `name` is unique in the page, `summary` is what is said of it aloud."""
    height, parts = _scatter(drawing) if isinstance(drawing, Scatter) else _bars(drawing)
    return tag(
        "svg",
        tag("title", summary, id=f"{name}-title"),
        *parts,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title",
        class_="plot",
    )


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


def _scatter(plot: Scatter) -> tuple[int, list[Markup]]:
    x, y = plot.x, plot.y
    placed = [(point, _x(x, point.x), _y(y, point.y)) for point in plot.points]
    taken = [_Box(px - 6, py + 4, 12, "start") for _, px, py in placed]
    lines = _guides(x, y, plot.guides, taken)
    placed.sort(key=lambda item: (item[2], item[1], item[0].label))
    marks = [_point(point, px, py, taken) for point, px, py in placed]
    return HEIGHT, [_frame(x, y), lines, _front(x, y, plot.front), *marks]


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


ROW, THICK, BARS_TOP, BARS_BOTTOM = 26, 14, 6, 40
LONGEST = 34
Place = Callable[[float], float]


def _bars(chart: Bars) -> tuple[int, list[Markup]]:
    left = 12 + LETTER * max(len(shortened(bar.label)) for bar in chart.bars)
    right = 10 + LETTER * max(len(bar.text) for bar in chart.bars)
    height = BARS_TOP + ROW * len(chart.bars) + BARS_BOTTOM

    def place(value: float) -> float:
        return left + chart.axis.place(value) * (WIDTH - left - right)

    parts = [_grid(chart.axis, place, height, (left + WIDTH - right) / 2)]
    for number, bar in enumerate(chart.bars):
        parts += _bar(bar, BARS_TOP + ROW * number + ROW / 2, place(chart.axis.low), place)
    return height, parts


def _bar(bar: Bar, middle: float, start: float, place: Place) -> list[Markup]:
    end, top = place(bar.value), middle - THICK / 2
    label = shortened(bar.label)
    size = {"width": max(end - start, 1), "height": THICK}
    parts = [
        tag("text", label, x=start - 8, y=middle + 4, text_anchor="end"),
        tag("rect", x=start, y=top, rx=2, class_=f"bar s{bar.series % SERIES}", **size),
    ]
    beyond = end
    if bar.low is not None and bar.high is not None:
        low, high = place(bar.low), place(bar.high)
        ends = f"M{low:.2f},{middle - 4:.2f}v8m0,-4H{high:.2f}m0,-4v8"
        parts.append(tag("path", d=ends, class_="interval"))
        beyond = max(high, end)
    if bar.limit is not None:
        at = place(bar.limit)
        parts.append(tag("line", x1=at, x2=at, y1=top - 4, y2=top + THICK + 4, class_="goal"))
        beyond = max(beyond, at)
    parts.append(tag("text", bar.text, x=beyond + 6, y=middle + 4, class_="label"))
    return parts


def _grid(axis: Axis, place: Place, height: float, middle: float) -> Markup:
    parts = []
    bottom = height - BARS_BOTTOM
    for value, text in axis.ticks():
        at = place(value)
        parts.append(tag("line", x1=at, x2=at, y1=BARS_TOP, y2=bottom, class_="grid"))
        parts.append(tag("text", text, x=at, y=bottom + 16, text_anchor="middle", class_="tick"))
    parts.append(tag("text", axis.title, x=middle, y=height - 8, text_anchor="middle"))
    return tag("g", *parts, aria_hidden="true")


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


FILE_STYLE = """
  :root { --paper: #ffffff; --ink: #1f2328; --faint: #6e7781; --rule: #d8dee4;
          --red: #cf4f27; --blue: #1f6feb; --violet: #8250df }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --rule: #30363d;
            --red: #f0883e; --blue: #58a6ff; --violet: #bc8cff } }
  svg { background: var(--paper) }
  text { fill: var(--ink); font: 12px ui-sans-serif, system-ui, sans-serif }
  .title { font-size: 15px; font-weight: 600 } .faint { fill: var(--faint) }
  .rule { stroke: var(--rule); stroke-width: 1 }
  .bar { fill: var(--red) } .own { fill: var(--blue) } .sum { fill: var(--violet) }
  .line { fill: none; stroke: var(--violet); stroke-width: 1.5 }
  .step { fill: none; stroke: var(--blue); stroke-width: 1.5 }
  .held { fill: none; stroke: var(--red); stroke-width: 1.5 } .dot { fill: var(--red) }
"""


def _file(title: str, width: int, height: int, parts: Sequence[Markup]) -> str:
    """Return a picture that is a file by itself."""
    return tag(
        "svg",
        tag("title", title),
        tag("style", Markup(FILE_STYLE)),
        _said(16, 26, title, "title"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        role="img",
    )


def _said(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    return tag("text", text, class_=kind or None, x=x, y=y, text_anchor=anchor)


def _line(kind: str, places: Sequence[tuple[float, float]]) -> Markup:
    return tag("polyline", class_=kind, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places))


LOSS_WIDTH, LOSS_HEIGHT = 760, 400
LOSS_LEFT, LOSS_RIGHT, LOSS_TOP, LOSS_BOTTOM = 70, 24, 64, 52
# More points than the picture has pixels say nothing; each is then the mean of its neighbours.
MOST_POINTS = 600


def loss_plot(title: str, steps: Sequence[float], held_out: Sequence[tuple[int, float]]) -> str:
    """Return an SVG: the loss of each step as a line, and the held-out loss as dots on another.

    `held_out` has pairs of the number of steps done before and the loss then. Numbers that are not
    finite are left out.
    """
    learned = thinned([(float(i), loss) for i, loss in enumerate(steps, 1) if math.isfinite(loss)])
    judged = [(float(step), loss) for step, loss in held_out if math.isfinite(loss)]
    values = [loss for _, loss in (*learned, *judged)] or [0.0, 1.0]
    ticks = around(min(0.0, *values), max(values))
    x, y = Axis("step", 0.0, max(float(len(steps)), 1.0)), Axis("loss", ticks[0], ticks[-1])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across, up = x.place(point[0]), y.place(point[1])
        return (
            LOSS_LEFT + across * (LOSS_WIDTH - LOSS_LEFT - LOSS_RIGHT),
            LOSS_HEIGHT - LOSS_BOTTOM - up * (LOSS_HEIGHT - LOSS_TOP - LOSS_BOTTOM),
        )

    parts = [*_loss_legend(bool(judged)), *_loss_axes(place, x, ticks)]
    parts.append(_line("step", [place(point) for point in learned]))
    if judged:
        parts.append(_line("held", [place(point) for point in judged]))
    for point in judged:
        at, height = place(point)
        told = tag("title", f"held out after {point[0]:.0f} steps: {point[1]:.4g}")
        parts.append(tag("circle", told, class_="dot", cx=at, cy=height, r=4))
    return _file(title, LOSS_WIDTH, LOSS_HEIGHT, parts)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most MOST_POINTS points, each the mean of as many neighbours."""
    size = math.ceil(len(points) / MOST_POINTS)
    groups = (points[i : i + size] for i in range(0, len(points), max(size, 1)))
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def _loss_axes(
    place: Callable[[tuple[float, float]], tuple[float, float]], x: Axis, ticks: Sequence[float]
) -> list[Markup]:
    found = []
    for loss in ticks:
        left, y = place((0, loss))
        ends = {"x1": left, "y1": y, "x2": LOSS_WIDTH - LOSS_RIGHT, "y2": y}
        found.append(tag("line", class_="rule", **ends))
        found.append(_said(left - 8, y + 4, f"{loss:.4g}", "faint", "end"))
    for step in (tick for tick in around(0, x.high) if tick <= x.high and tick == int(tick)):
        at, bottom = place((step, ticks[0]))
        found.append(_said(at, bottom + 18, f"{step:.0f}", "faint", "middle"))
    middle = (LOSS_LEFT + LOSS_WIDTH - LOSS_RIGHT) / 2
    found.append(_said(middle, LOSS_HEIGHT - 12, "step", "faint", "middle"))
    found.append(_said(16, LOSS_TOP - 8, "loss", "faint"))
    return found


def _loss_legend(judged: bool) -> list[Markup]:
    at = LOSS_LEFT
    found = [
        tag("line", class_="step", x1=at, y1=46, x2=at + 24, y2=46),
        _said(at + 30, 50, "training, by step", "faint"),
    ]
    if judged:
        at += 170
        found.append(tag("line", class_="held", x1=at, y1=46, x2=at + 24, y2=46))
        found.append(tag("circle", class_="dot", cx=at + 12, cy=46, r=4))
        found.append(_said(at + 30, 50, "held out, by epoch", "faint"))
    return found


LAYER = 22
NAMES, SHARES, NOISE, LAYERS_TOP = 330, 330, 260, 74
NOISE_LEFT = NAMES + SHARES + 20
# Above this many decibels nothing is lost that anybody sees; the axis ends there.
DECIBELS = Axis("signal to noise in dB:", 0.0, 60.0)
NAME_LENGTH = 48


def damage_plot(title: str, layers: Sequence[LayerView]) -> str:
    """Return an SVG: a row for each layer in the model's order, shares left, decibels right."""
    height = LAYERS_TOP + LAYER * len(layers) + 24
    parts = _damage_heads(height)
    largest = max((item.share for item in layers), default=1.0) or 1.0
    for number, item in enumerate(layers):
        parts.append(_layer(LAYERS_TOP + LAYER * number, item, largest))
    summed = [
        (_decibels(item.accumulated_db or 0.0), LAYERS_TOP + LAYER * number + 11.0)
        for number, item in enumerate(layers)
    ]
    return _file(title, NAMES + SHARES + NOISE + 40, height, [*parts, _line("line", summed)])


def _damage_heads(height: int) -> list[Markup]:
    found = [
        _said(NAMES, 52, "share of the damage at the model's end", "faint"),
        _said(NOISE_LEFT, 46, DECIBELS.title, "faint"),
    ]
    for kind, text, at, radius in (("own", "its own", 4, 4), ("sum", "all so far", 74, 3)):
        found.append(tag("circle", class_=kind, cx=NOISE_LEFT + at, cy=58, r=radius))
        found.append(_said(NOISE_LEFT + at + 8, 62, text, "faint"))
    for decibels in range(0, int(DECIBELS.high) + 1, 20):
        x = _decibels(decibels)
        found.append(tag("line", class_="rule", x1=x, y1=LAYERS_TOP, x2=x, y2=height - 20))
        found.append(_said(x, height - 6, str(decibels), "faint", "middle"))
    return found


def _layer(y: int, item: LayerView, largest: float) -> Markup:
    width = max(1.0, (SHARES - 70) * item.share / largest)
    name = item.node if len(item.node) <= NAME_LENGTH else f"...{item.node[3 - NAME_LENGTH :]}"
    own, summed = item.own_db or 0.0, item.accumulated_db or 0.0
    told = (
        f"{item.node} ({item.precision}): {item.share:.1%} of the damage, own noise "
        f"{own:.1f} dB, so far {summed:.1f} dB"
    )
    return tag(
        "g",
        tag("title", told),
        _said(NAMES - 8, y + 15, name, "", "end"),
        tag("rect", class_="bar", x=NAMES, y=y + 4, width=width, height=14, rx=2),
        _said(NAMES + width + 6, y + 15, f"{item.share:.1%}", "faint"),
        tag("circle", class_="own", cx=_decibels(own), cy=y + 11, r=4),
        tag("circle", class_="sum", cx=_decibels(summed), cy=y + 11, r=3),
    )


def _decibels(value: float) -> float:
    """Return where a ratio stands on the axis; what is beyond its ends stands at them."""
    return NOISE_LEFT + (NOISE - 20) * DECIBELS.place(0.0 if math.isnan(value) else value)
