"""A training's loss as a picture: one self-contained SVG, light or dark as the viewer is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

NAMESPACE = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 64, 52
# More points than the picture has pixels say nothing; each is then the mean of its neighbours.
MOST_POINTS = 600
TICKS = 5

STYLE = """
  :root { --paper: #ffffff; --ink: #1f2328; --faint: #6e7781; --rule: #d8dee4;
          --step: #1f6feb; --held: #cf4f27 }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --rule: #30363d;
            --step: #58a6ff; --held: #f0883e } }
  svg { background: var(--paper) }
  text { fill: var(--ink); font: 12px ui-sans-serif, system-ui, sans-serif }
  .title { font-size: 15px; font-weight: 600 } .faint { fill: var(--faint) }
  .rule { stroke: var(--rule); stroke-width: 1 }
  .step { fill: none; stroke: var(--step); stroke-width: 1.5 }
  .held { fill: none; stroke: var(--held); stroke-width: 1.5 } .dot { fill: var(--held) }
"""

Point = tuple[float, float]


def loss_plot(title: str, steps: Sequence[float], held_out: Sequence[tuple[int, float]]) -> str:
    """Return an SVG: the loss of each step as a line, and the held-out loss as dots on another.

    `held_out` has pairs of the number of steps done before and the loss then. Numbers that are not
    finite are left out.
    """
    learned = thinned([(float(i), loss) for i, loss in enumerate(steps, 1) if math.isfinite(loss)])
    judged = [(float(step), loss) for step, loss in held_out if math.isfinite(loss)]
    values = [loss for _, loss in (*learned, *judged)] or [0.0, 1.0]
    ticks = nice_ticks(min(0.0, *values), max(values))
    frame = _Frame(max(float(len(steps)), 1.0), ticks[0], ticks[-1])
    parts = [
        f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        _text(16, 26, title, "title"),
        *_legend(bool(judged)),
        *_axes(frame, ticks, len(steps)),
        _line("step", map(frame.place, learned)),
        *_judged(frame, judged),
        "</svg>",
    ]
    return "\n".join([*parts, ""])


def nice_ticks(lowest: float, highest: float) -> list[float]:
    """Return round numbers that enclose both, some five of them, in steps of 1, 2 or 5."""
    span = (highest - lowest) or 1.0
    rough = span / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(lowest / step), math.ceil(highest / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most MOST_POINTS points, each the mean of as many neighbours."""
    size = math.ceil(len(points) / MOST_POINTS)
    groups = (points[i : i + size] for i in range(0, len(points), max(size, 1)))
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


class _Frame:
    """Where numbers lie in the picture."""

    def __init__(self, steps: float, lowest: float, highest: float) -> None:
        self._steps = steps
        self._lowest = lowest
        self._span = highest - lowest

    def place(self, point: Point) -> Point:
        step, loss = point
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / self._steps
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (loss - self._lowest) / self._span


def _axes(frame: _Frame, ticks: Sequence[float], steps: int) -> list[str]:
    found = []
    for loss in ticks:
        _, y = frame.place((0, loss))
        found.append(
            f'<line class="rule" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        )
        found.append(_text(LEFT - 8, y + 4, f"{loss:.4g}", "faint", "end"))
    for step in (tick for tick in nice_ticks(0, max(steps, 1)) if tick <= max(steps, 1)):
        if step == int(step):
            x, _ = frame.place((step, 0))
            found.append(_text(x, HEIGHT - BOTTOM + 18, f"{step:.0f}", "faint", "middle"))
    found.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "step", "faint", "middle"))
    found.append(_text(16, TOP - 8, "loss", "faint"))
    return found


def _legend(judged: bool) -> list[str]:
    found = [
        f'<line class="step" x1="{LEFT}" y1="46" x2="{LEFT + 24}" y2="46"/>',
        _text(LEFT + 30, 50, "training, by step", "faint"),
    ]
    if judged:
        x = LEFT + 170
        found.append(f'<line class="held" x1="{x}" y1="46" x2="{x + 24}" y2="46"/>')
        found.append(f'<circle class="dot" cx="{x + 12}" cy="46" r="4"/>')
        found.append(_text(x + 30, 50, "held out, by epoch", "faint"))
    return found


def _judged(frame: _Frame, points: Sequence[Point]) -> list[str]:
    if not points:
        return []
    found = [_line("held", map(frame.place, points))]
    for point in points:
        x, y = frame.place(point)
        told = f"held out after {point[0]:.0f} steps: {point[1]:.4g}"
        found.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4">'
            f"<title>{escape(told)}</title></circle>"
        )
    return found


def _line(kind: str, places: Iterable[Point]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="{kind}" points="{points}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
