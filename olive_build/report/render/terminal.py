"""Blocks as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TextIO

import click

from olive_build.errors import printable
from olive_build.report import style
from olive_build.report.blocks import Block, Cell, Chart, Facts, Page, Table, Text
from olive_build.report.render.signs import sign

WIDTH, BAR = 80, 30


def to_lines(page: Page, stream: TextIO) -> Iterator[str]:
    """Yield a page for a stream: what it is about, the facts, each section under its title."""
    yield style.paint(printable(page.heading), "bold", stream)
    yield from wrap(printable(f"{page.kicker}. {page.lead}".rstrip()), WIDTH)
    yield ""
    yield from block_lines(page.facts, stream)
    for section in page.sections:
        yield ""
        yield style.paint(printable(section.title), "bold", stream)
        yield ""
        yield from blocks_lines(section.blocks, stream)


def blocks_lines(blocks: Sequence[Block], stream: TextIO | None = None) -> Iterator[str]:
    """Yield blocks with empty lines between them, but for sentences that follow one another."""
    for number, block in enumerate(blocks):
        if number and not all(_is_sentence(item) for item in blocks[number - 1 : number + 1]):
            yield ""
        yield from block_lines(block, stream)


def _is_sentence(block: Block) -> bool:
    return isinstance(block, Text) and block.kind != "code"


def block_lines(block: Block, stream: TextIO | None = None) -> Iterator[str]:
    """Yield a block for a stream, by default the standard output.

    Of a scatter plot, whose points its tables have, it is what is said of it aloud.
    """
    match block:
        case Table():
            yield from _table(block, stream)
        case Facts():
            width = max(len(item.title) for item in block.facts)
            for fact in block.facts:
                yield f"{fact.title:<{width}}  {printable(_cell(fact.cell))}"
        case Chart():
            yield from _chart(block)
        case Text(kind="code"):
            yield from (f"    {printable(line)}" for line in block.text.splitlines())
        case Text():
            yield printable(block.text)  # whole: it may hold a command or a path


def paragraph(text: str, indent: str = "", rest: str | None = None) -> list[str]:
    """Return a text in lines of 80 columns; a longer word, such as a path, stays whole.

    The first line begins with `indent`, those after it with `rest`, by default two blanks more.
    """
    rest = f"{indent}  " if rest is None else rest
    return wrap(
        printable(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def say(text: str, *, err: bool = False) -> None:
    """Print a text as a paragraph."""
    for line in paragraph(text):
        click.echo(line, err=err)


def _chart(block: Chart) -> Iterator[str]:
    from olive_build.report.charts import Bars  # the table of a build needs none of what draws

    bars = block.drawing
    if not isinstance(bars, Bars):
        yield from wrap(printable(block.summary), WIDTH)
        return
    width = max(len(item.label) for item in bars.bars)
    for item in bars.bars:
        length = round(BAR * bars.axis.place(item.value))
        yield f"{printable(item.label):<{width}}  {'█' * length} {printable(item.text)}"


def print_block(block: Block) -> None:
    """Print a block."""
    for line in block_lines(block):
        click.echo(line)


def _table(block: Table, stream: TextIO | None) -> Iterator[str]:
    heads = [column.title for column in block.columns]
    right = [number for number, item in enumerate(block.columns) if item.kind == "number"]
    if block.caption:
        yield from wrap(printable(block.caption), WIDTH)
    for group in block.groups:
        if group.title:
            yield ""
            remark = f" ({group.remark})" if group.remark else ""
            yield style.paint(printable(group.title + remark), "bold", stream)
        if group.rows or not group.title:
            yield from style.table([heads, *map(_row, group.rows)], right=right)


def _row(cells: tuple[Cell, ...]) -> list[str]:
    return [_cell(cell) for cell in cells]


def _cell(cell: Cell) -> str:
    text = sign(cell.text) if cell.is_status else cell.text
    if cell.names:
        text += f": {', '.join(cell.names)}"
    return f"{text} ({cell.remark})" if cell.remark else text
