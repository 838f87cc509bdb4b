"""Blocks as plain data, for pipelines."""

from __future__ import annotations

from typing import Any

from olive_build.record.codec import encode
from olive_build.report.blocks import Block, Cell, Facts, Page, Table, Text


def to_data(page: Page) -> dict[str, Any]:
    """Return a page: its title, its facts by title, its sections with their blocks."""
    return {
        "title": page.title,
        "about": page.lead,
        "facts": _block(page.facts)["facts"],
        "sections": [
            {"id": item.id, "title": item.title, "blocks": [_block(one) for one in item.blocks]}
            for item in page.sections
        ],
    }


def rows(table: Table) -> list[dict[str, object]]:
    """Return the rows of a table, each cell under its column's title; see `Cell.value`."""
    keys = [column.title for column in table.columns]
    return [
        dict(zip(keys, map(_cell, row), strict=True)) | ({"of": group.title} if group.title else {})
        for group in table.groups
        for row in group.rows
    ]


def _block(block: Block) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": type(block).__name__.lower()}
    if isinstance(block, Table):
        return {**found, "id": block.id, "caption": block.caption, "rows": rows(block)}
    if isinstance(block, Facts):
        return {**found, "facts": {item.title: _cell(item.cell) for item in block.facts}}
    if isinstance(block, Text):
        return {**found, "text": block.text}
    return {**found, **encode(block)}


def _cell(cell: Cell) -> object:
    """Return the exact number where there is one, else the text; a remark makes it an object."""
    shown: object = cell.text if cell.value is None else cell.value
    more = {"remark": cell.remark} if cell.remark else {}
    named = {"names": list(cell.names)} if cell.names else {}
    return {"value": shown, **more, **named} if more or named else shown
