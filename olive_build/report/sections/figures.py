"""Every figure of every variant before and after, whatever the capability that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import Cell, Section, Text, grouped, status
from olive_build.report.builds import VariantView
from olive_build.report.comparison import BundlePair, Change, Comparison
from olive_build.report.sections import Capability, changes

CAPTION = (
    "Speeds and error rates are called better or worse only where both intervals lie apart, speeds "
    "only of the same machine. What is measured once, as the cost of training, has no interval."
)


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield the table of figures, after the targets that only one build has."""
    alone = (Text("; ".join(found.only_in_one)),) if found.only_in_one else ()
    figures = grouped(
        "figures",
        CAPTION,
        [_group(pair, *names) for pair in found.pairs for names in pair.variants()],
        ("Figure", "name", lambda item: item.title),
        ("First", "number", lambda item: Cell(item.old_text, item.old)),
        ("Second", "number", lambda item: Cell(item.new_text, item.new)),
        ("Change", "number", lambda item: item.change),
        ("In words", "", lambda item: status(item.verdict)),
    )
    yield Section("figures", "Figures", (*alone, figures))


def _group(
    pair: BundlePair, name: str, old: VariantView | None, new: VariantView | None
) -> tuple[str, str, list[Change]]:
    title = f"{pair.target} {name}"
    if old is None or new is None:
        return title, f"only in the {'second' if old is None else 'first'} build", []
    told = changes(old, new, same_machine=pair.same_machine)
    shown = [item for item in told if item.verdict != "same"]
    alike = len(told) - len(shown)
    return title, f"{alike} figures are the same" if alike else "", shown


CAPABILITY = Capability(10, of_two=of_two)
