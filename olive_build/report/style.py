"""Colours on a terminal, none elsewhere; tables with columns that line up."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import zip_longest
from shutil import get_terminal_size
from textwrap import wrap
from typing import TextIO

from olive_build.errors import printable

COLUMNS = 80
GAP = "  "
# A column is not made narrower than that: a letter a line is no table.
LEAST = 8
CODES = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}


def coloured(stream: TextIO) -> bool:
    """Whether colours go to the stream: only to a terminal, and never with NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return the text in a colour where the stream shows colours."""
    if not colour or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m"


def table(
    rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), width: int | None = None
) -> list[str]:
    """Return lines with columns that line up; the columns in `right` are aligned right.

    The first row is the head, ruled off from the rest. A table that is wider than `width`, by
    default the terminal's or 80, has its widest cells wrapped: between words, and inside of them
    where that does not do. What is no sign in a cell is escaped.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = _widths(rows, right, width or max(COLUMNS, get_terminal_size((COLUMNS, 0)).columns))
    lines = []
    for number, row in enumerate(rows):
        wrapped = [wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for parts in zip_longest(*wrapped, fillvalue=""):
            cells = [
                part.rjust(size) if index in right else part.ljust(size)
                for index, (part, size) in enumerate(zip(parts, widths, strict=True))
            ]
            lines.append(GAP.join(cells).rstrip())
        if number == 0:
            lines.append(GAP.join("-" * size for size in widths))
    return lines


def _widths(rows: Sequence[Sequence[str]], right: Sequence[int], limit: int) -> list[int]:
    """Return the columns' widths: what their cells take, less where the sum is beyond the limit.

    Heads and sentences give way first, long names next, numbers with their units last.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(1, *map(len, column)) for column in columns]
    words = [
        max(len(word) for cell in column for word in ("", *cell.split())) for column in columns
    ]
    whole = [
        max(words[i], *map(len, columns[i][1:])) if i in right else words[i]
        for i in range(len(words))
    ]
    named = [size if i in right else LEAST for i, size in enumerate(whole)]
    for least in (whole, named, words):
        while sum(widths) + len(GAP) * (len(widths) - 1) > limit:
            spare = [size if size > floor else 0 for size, floor in zip(widths, least, strict=True)]
            if not any(spare):
                break
            widths[spare.index(max(spare))] -= 1
    return widths
