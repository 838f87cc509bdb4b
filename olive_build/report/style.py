"""Colours on a terminal, none elsewhere; tables with columns that line up."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from olive_build.errors import printable

CODES = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}


def coloured(stream: TextIO) -> bool:
    """Say whether colours go to the stream: only to a terminal, and never with NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return the text in a colour where the stream shows colours."""
    if not colour or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return lines with columns that line up; the columns in `right` are aligned right.

    The first row is the head, ruled off from the rest. What is no sign in a cell is escaped.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return lines


def megabytes(size_bytes: int) -> str:
    """Return a size in units of 10^6 bytes, as the recipe's size_mb is."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"
