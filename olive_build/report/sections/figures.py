"""Every figure of every variant before and after, whatever the capability that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import Column, Content, Group, Section, Table, Text, group, status
from olive_build.report.comparison import Change, Comparison
from olive_build.report.numbers import number
from olive_build.report.sections import Capability, changes

COLUMNS = (
    Column("Figure", "name"),
    Column("First", "number"),
    Column("Second", "number"),
    Column("Change", "number"),
    Column("In words"),
)
CAPTION = (
    "Speeds and error rates are called better or worse only where both intervals lie apart, speeds "
    "only of the same machine. What is measured once, as the cost of training, has no interval."
)


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield the table of figures, after the targets that only one build has."""
    groups = []
    for pair in found.pairs:
        for name, old, new in pair.variants():
            title = f"{pair.target} {name}"
            if old is None or new is None:
                only = f"only in the {'second' if old is None else 'first'} build"
                groups.append(Group((), title, only))
            else:
                told = changes(old, new, same_machine=pair.same_machine)
                groups.append(_group(title, told))
    alone = (Text("; ".join(found.only_in_one)),) if found.only_in_one else ()
    table = Table("figures", COLUMNS, tuple(groups), CAPTION)
    yield Section("figures", "Figures", (*alone, table))


def _group(title: str, told: list[Change]) -> Group:
    rows = [_row(item) for item in told if item.verdict != "same"]
    alike = len(told) - len(rows)
    return group(rows, title, f"{alike} figures are the same" if alike else "")


def _row(item: Change) -> list[Content]:
    return [
        item.title,
        number(item.old, item.old_text),
        number(item.new, item.new_text),
        item.change,
        status(item.verdict),
    ]


CAPABILITY = Capability(10, of_two=of_two)
