"""Figures as people read them, and the exact value behind each for whoever reads the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from olive_build.proof.figures import find
from olive_build.report.blocks import NONE, Cell, ColumnOf

MINUS = "\u2212"


def title_of(figure: str) -> str:
    """Return a figure's name in words; one that is not known keeps its own."""
    return find(figure).title


def short_title(figure: str) -> str:
    """Return a figure's name for the head of a column."""
    return find(figure).head


def text_of(figure: str, value: float) -> str:
    """Return a figure with its unit: `0.99123`, `25.6 %`, `3.86 x`."""
    text = find(figure).text(value)
    return MINUS + text[1:] if text.startswith("-") else text


def limit_text(figure: str, value: float) -> str:
    """Return a limit as the recipe says it, with the figure's unit."""
    return find(figure).unit.limit_text(value)


def number(value: float | None, text: str, remark: str = "", share: float | None = None) -> Cell:
    """Return a number as it is read, with the exact one behind it; a dash if there is none.

    `text` says how it is written, such as `{:.2f} ms`.
    """
    return Cell(NONE) if value is None else Cell(text.format(value), value, remark, share=share)


def figure(name: str, found: Mapping[str, float]) -> Cell:
    """Return the figure of that name with its unit, a dash where it is not among those found."""
    return Cell(text_of(name, found[name]), found[name]) if name in found else Cell(NONE)


class HasFigures(Protocol):
    """Whatever has figures by name."""

    @property
    def figures(self) -> Mapping[str, float]:
        """Its figures."""


def figure_columns(names: Iterable[str]) -> list[ColumnOf[HasFigures]]:
    """Return a column for each figure of that name."""

    def column(name: str) -> ColumnOf[HasFigures]:
        return short_title(name), "number", lambda item: figure(name, item.figures)

    return [column(name) for name in names]


def size(size_bytes: float | None, share: float | None = None, remark: str = "") -> Cell:
    """Return a size in megabytes."""
    return number(size_bytes, megabytes(size_bytes or 0), remark, share)


def megabytes(size_bytes: float) -> str:
    """Return a size in units of 10^6 bytes; kB below a tenth of one."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def seconds(value: float) -> str:
    """Return a time: `0.4 s`, `81.7 s`, `12 min 5 s`."""
    if value < 600:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def signed(value: float, text: str) -> str:
    """Return a text of an amount with its sign before it."""
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return sign + text.lstrip("-")
