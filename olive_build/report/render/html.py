"""A page as one HTML file: it needs no network and no script, whatever a bundle's texts hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from olive_build.report.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Facts,
    Group,
    Page,
    Section,
    Table,
    Text,
)
from olive_build.report.charts import draw
from olive_build.report.render.markup import Child, Markup, join, tag
from olive_build.report.render.signs import KINDS, sign

# Nothing is loaded and nothing runs, whatever a bundle's texts hold.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
# Of sentences and lists that are longer, the beginning is shown, which opens to all of it.
LONG_REMARK, SHOWN_REMARK = 130, 80
FEW = 3


@cache
def style() -> str:
    """Return how a page looks: light and dark, from phones to desktops, and on paper."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def to_html(page: Page) -> str:
    """Return the whole document. The same page gives the same bytes."""
    links = [tag("li", tag("a", item.title, href=f"#{item.id}")) for item in page.sections]
    header = tag(
        "header",
        tag("p", page.kicker, class_="kicker"),
        tag("h1", page.heading),
        tag("p", page.lead, class_="lead"),
        _facts(page.facts),
        tag("nav", tag("ul", *links), aria_label="Sections"),
    )
    main = tag("main", *(_section(item) for item in page.sections))
    meta = (
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", page.title),
        tag("style", Markup("\n" + style())),
    )
    body = tag("body", header, main, tag("footer", tag("p", page.foot)))
    return "<!doctype html>\n" + tag("html", tag("head", *meta), body, lang="en")


def _section(section: Section) -> Markup:
    heading = tag("h2", section.title, id=f"{section.id}-title")
    label = f"{section.id}-title"
    return tag("section", heading, *_blocks(section.blocks), id=section.id, aria_labelledby=label)


def _blocks(blocks: Sequence[Block]) -> Iterator[Markup]:
    """Yield the blocks; charts that follow one another lie side by side where there is room."""
    for are_charts, found in groupby(blocks, lambda item: isinstance(item, Chart)):
        made = [_block(item) for item in found]
        if are_charts and len(made) > 1:
            yield tag("div", *made, class_="plots")
        else:
            yield from made


def _block(block: Block) -> Markup:
    match block:
        case Table():
            return _table(block)
        case Chart():
            plot = draw(block.drawing, block.id, block.summary)
            return tag("figure", plot, tag("figcaption", block.caption))
        case Facts():
            return _facts(block)
        case Text(kind="code"):
            return tag("pre", tag("code", block.text))
        case Text():
            return tag("p", block.text, class_=block.kind or None)


def _table(table: Table) -> Markup:
    """Return a table that scrolls by itself where it is too wide; the keyboard reaches it."""
    label = f"{table.id}-caption"
    heads = [tag("th", item.title, scope="col", class_=item.kind or None) for item in table.columns]
    inner = tag(
        "table",
        tag("caption", tag("span", table.caption, class_="still"), id=label),
        tag("thead", tag("tr", *heads)),
        *(_group(table.columns, item) for item in table.groups),
    )
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_labelledby=label)


def _group(columns: Sequence[Column], group: Group) -> Markup:
    lines = [_row(columns, row) for row in group.rows]
    if not group.title:
        return tag("tbody", *lines)
    remark = tag("small", group.remark) if group.remark else None
    title = tag("span", group.title, " " if remark else None, remark, class_="still")
    head = tag("th", title, colspan=len(columns), scope="rowgroup")
    return tag("tbody", tag("tr", head, class_="group"), *lines)


def _row(columns: Sequence[Column], cells: Sequence[Cell]) -> Markup:
    first, *rest = zip(columns, cells, strict=True)
    return tag(
        "tr",
        tag("th", _cell(first[1], first[0]), scope="row", class_=first[0].kind or None),
        *(tag("td", _cell(cell, column), class_=column.kind or None) for column, cell in rest),
    )


def _cell(cell: Cell, column: Column) -> Markup:
    """Return what stands in a cell; its colour says nothing that its words do not."""
    shown: Child = cell.text
    if cell.value is not None:
        shown = tag("data", cell.text, value=repr(cell.value))
    elif cell.is_status:
        shown = tag("span", sign(cell.text), class_=f"status {KINDS.get(cell.text, '')}".rstrip())
    elif cell.is_code:
        shown = tag("span", cell.text, class_="code")
    elif column.kind == "long" and len(cell.text) > LONG_REMARK:
        start = cell.text[:SHOWN_REMARK].rsplit(" ", 1)[0]
        shown = tag("details", tag("summary", f"{start}\u2026"), cell.text)
    if cell.names:
        shown = _listed(shown, cell.names)
    parts: list[Child] = [shown]
    if cell.remark:
        parts += [" ", tag("small", cell.remark)]
    if cell.share is not None:
        parts.append(_meter(cell.share, cell.text))
    return join(*parts)


def _listed(text: Child, names: Sequence[str]) -> Markup:
    lines = [part for name in names for part in (tag("br"), tag("span", name, class_="code"))]
    if len(names) <= FEW:
        return join(text, *lines)
    return tag("details", tag("summary", text), *lines)


def _meter(share: float, said: str) -> Markup:
    """Return a small bar from 0 to 1 beside a number that says the same."""
    width = 100 * min(max(share, 0.0), 1.0)
    back = tag("rect", width=100, height=10, class_="back")
    bar = tag("rect", width=max(width, 0.6), height=10)
    view = {"viewBox": "0 0 100 10", "preserveAspectRatio": "none"}
    return tag("svg", back, bar, class_="meter", role="img", aria_label=said, **view)


def _facts(facts: Facts) -> Markup:
    boxes = [
        tag("div", tag("dt", item.title), tag("dd", _cell(item.cell, Column(item.title))))
        for item in facts.facts
    ]
    return tag("dl", *boxes, class_="facts")
