"""What a report is made of: pages of sections, sections of tables, charts, facts and texts.

Whoever reports something makes these; `render` shows them in a terminal, as HTML and as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, TypeVar

from olive_build.values import dataclass

if TYPE_CHECKING:
    from olive_build.report.charts import Bars, Scatter

NONE = "\u2013"


@dataclass(frozen=True)
class Cell:
    """One thing that is read: a text, and what is known of it beside.

    `value` is the exact number behind the text; `is_status` says that the text is a verdict, which
    gets its sign and colour. `remark` is said after it, smaller; `names` are listed below it. Those
    are names of code, as the text is with `is_code`. `share` is drawn as a small bar, from 0 to 1.
    """

    text: str
    value: float | None = None
    remark: str = ""
    is_status: bool = False
    is_code: bool = False
    names: tuple[str, ...] = ()
    share: float | None = None


Content = str | Cell


def status(word: str) -> Cell:
    """Return a verdict."""
    return Cell(word, is_status=True)


def code(text: str) -> Cell:
    """Return a name of a file, a step or a layer."""
    return Cell(text, is_code=True)


Kind = Literal["", "name", "number", "long", "short"]


@dataclass(frozen=True)
class Column:
    """A column's head. Numbers are aligned right; `long` are sentences, `short` never break."""

    title: str
    kind: Kind = ""


@dataclass(frozen=True)
class Group:
    """Rows of a table, with a head of their own where there is a title; `remark` is said after it.

    A row has a cell for each column; the first one is the row's head.
    """

    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under columns. `id` is its name, which no other block of the page has."""

    id: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    caption: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture. `summary` says what it shows to whoever does not see it."""

    id: str
    drawing: Scatter | Bars
    summary: str
    caption: str


@dataclass(frozen=True)
class Fact:
    """One of the few things to know first; the cell's remark says more."""

    title: str
    cell: Cell


@dataclass(frozen=True)
class Facts:
    """The few things to know first."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Text:
    """A paragraph; a `note` is said beside the matter, `code` is shown line by line."""

    text: str
    kind: Literal["", "note", "code"] = ""


Block = Table | Chart | Facts | Text


@dataclass(frozen=True)
class Section:
    """A part of a page; `id` is the name under which it is linked."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """All that is reported at once: what it is about, the facts, the sections."""

    title: str
    kicker: str
    heading: str
    lead: str
    facts: Facts
    sections: tuple[Section, ...]
    foot: str


T = TypeVar("T")
# A column's title and kind, and what stands in it of each item.
ColumnOf = tuple[str, Kind, Callable[[T], Content]]


def table(name: str, caption: str, items: Iterable[T], *columns: ColumnOf[T]) -> Table:
    """Return a table with a row for each item."""
    return grouped(name, caption, [("", "", items)], *columns)


def grouped(
    name: str, caption: str, groups: Iterable[tuple[str, str, Iterable[T]]], *columns: ColumnOf[T]
) -> Table:
    """Return a table with groups of items, each under its title and remark."""
    made = tuple(
        Group(tuple(_row(item, columns) for item in items), title, remark)
        for title, remark, items in groups
    )
    return Table(name, tuple(Column(title, kind) for title, kind, _ in columns), made, caption)


def by_place(*heads: tuple[str, Kind]) -> list[ColumnOf[Sequence[Content]]]:
    """Return the columns of items that are rows themselves."""
    return [(title, kind, itemgetter(place)) for place, (title, kind) in enumerate(heads)]


def _row(item: T, columns: Iterable[ColumnOf[T]]) -> tuple[Cell, ...]:
    found = (of(item) for _, _, of in columns)
    return tuple(Cell(one) if isinstance(one, str) else one for one in found)
