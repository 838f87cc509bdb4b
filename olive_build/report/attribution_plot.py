"""Damage by layer as a picture: one self-contained SVG, light or dark as the viewer is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError

NAMESPACE = "http://www.w3.org/2000/svg"
ROW = 22
LEFT, MIDDLE, RIGHT, TOP = 330, 330, 260, 74
WIDTH = LEFT + MIDDLE + RIGHT + 40
# Above this many decibels nothing is lost that anybody sees; the axis ends there.
MOST_DB = 60.0
NAME_LENGTH = 48

STYLE = """
  :root { --paper: #ffffff; --ink: #1f2328; --faint: #6e7781; --rule: #d8dee4;
          --bar: #cf4f27; --own: #1f6feb; --sum: #8250df }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --rule: #30363d;
            --bar: #f0883e; --own: #58a6ff; --sum: #bc8cff } }
  svg { background: var(--paper) }
  text { fill: var(--ink); font: 12px ui-sans-serif, system-ui, sans-serif }
  .title { font-size: 15px; font-weight: 600 } .faint { fill: var(--faint) }
  .rule { stroke: var(--rule); stroke-width: 1 }
  .bar { fill: var(--bar) } .own { fill: var(--own) } .sum { fill: var(--sum) }
  .line { fill: none; stroke: var(--sum); stroke-width: 1.5 }
"""


@dataclass(frozen=True)
class Bar:
    """One layer: its name and precision, its share of the damage, and signal to noise in dB."""

    name: str
    precision: str
    share: float
    own_db: float
    accumulated_db: float


def write_plot(path: Path, title: str, bars: Sequence[Bar]) -> None:
    """Write the SVG. Raises UsageError when the file cannot be written."""
    try:
        replace_file(path, plot(title, bars).encode())
    except OSError as error:
        raise UsageError(
            "the plot cannot be written", where=str(path), why=error.strerror or str(error)
        ) from error


def plot(title: str, bars: Sequence[Bar]) -> str:
    """Return an SVG: a row for each layer in the model's order, shares left, decibels right."""
    height = TOP + ROW * len(bars) + 24
    parts = [
        f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        _text(16, 26, title, "title"),
        *_heads(height),
    ]
    largest = max((bar.share for bar in bars), default=1.0) or 1.0
    for place, bar in enumerate(bars):
        parts += _row(TOP + ROW * place, bar, largest)
    line = " ".join(
        f"{_x(bar.accumulated_db):.1f},{TOP + ROW * place + 11}" for place, bar in enumerate(bars)
    )
    parts.append(f'<polyline class="line" points="{line}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _heads(height: int) -> list[str]:
    found = [
        _text(LEFT, 52, "share of the damage at the model's end", "faint"),
        _text(LEFT + MIDDLE + 20, 46, "signal to noise in dB:", "faint"),
        f'<circle class="own" cx="{LEFT + MIDDLE + 24}" cy="58" r="4"/>',
        _text(LEFT + MIDDLE + 32, 62, "its own", "faint"),
        f'<circle class="sum" cx="{LEFT + MIDDLE + 94}" cy="58" r="3"/>',
        _text(LEFT + MIDDLE + 102, 62, "all so far", "faint"),
    ]
    for decibels in range(0, int(MOST_DB) + 1, 20):
        x = _x(decibels)
        found.append(
            f'<line class="rule" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 20}"/>'
        )
        found.append(_text(x, height - 6, str(decibels), "faint", "middle"))
    return found


def _row(y: int, bar: Bar, largest: float) -> list[str]:
    width = max(1.0, (MIDDLE - 70) * bar.share / largest)
    name = bar.name if len(bar.name) <= NAME_LENGTH else f"...{bar.name[3 - NAME_LENGTH :]}"
    told = (
        f"{bar.name} ({bar.precision}): {bar.share:.1%} of the damage, own noise "
        f"{bar.own_db:.1f} dB, so far {bar.accumulated_db:.1f} dB"
    )
    return [
        f"<g><title>{escape(told)}</title>",
        _text(LEFT - 8, y + 15, name, "", "end"),
        f'<rect class="bar" x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="14" rx="2"/>',
        _text(LEFT + width + 6, y + 15, f"{bar.share:.1%}", "faint"),
        f'<circle class="own" cx="{_x(bar.own_db):.1f}" cy="{y + 11}" r="4"/>',
        f'<circle class="sum" cx="{_x(bar.accumulated_db):.1f}" cy="{y + 11}" r="3"/>',
        "</g>",
    ]


def _x(decibels: float) -> float:
    """Return where a ratio stands on the axis; what is beyond its ends stands at them."""
    shown = 0.0 if math.isnan(decibels) else min(max(decibels, 0.0), MOST_DB)
    return LEFT + MIDDLE + 20 + (RIGHT - 20) * shown / MOST_DB


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
