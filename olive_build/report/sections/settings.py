"""What else differs between two builds: settings, tools, operators, files."""

from __future__ import annotations

import json
from collections.abc import Iterator

from olive_build.proof.figures import of_quality
from olive_build.report.blocks import NONE, Content, Section, Text, by_place, grouped
from olive_build.report.comparison import BundlePair, Comparison
from olive_build.report.differences import differences
from olive_build.report.sections import Capability

LONGEST = 120
# These stand in the table of figures.
COSTS = (" milliseconds_per_step", " peak_bytes")
RATES = (" equal_error_rate all owners",)
FIGURE_ENDS = (": size_bytes", *COSTS, *RATES)


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield the table of differences that are no figures."""
    ends = (*FIGURE_ENDS, *(f": {figure}" for figure in of_quality()))
    groups = [(pair.target, "", list(_told(pair, ends))) for pair in found.pairs]
    table = grouped(
        "settings",
        "Settings, tools, training, operators and files that differ; a dash is: not there.",
        [group for group in groups if group[2]],
        *by_place(("What", "name"), ("First", "long"), ("Second", "long")),
    )
    block = table if table.groups else Text("No other difference.")
    yield Section("settings", "Settings and files", (block,))


def _told(pair: BundlePair, ends: tuple[str, ...]) -> Iterator[list[Content]]:
    for name, old, new in differences(pair.old.folder, pair.new.folder):
        if not name.endswith(ends):
            yield [name, _text(old), _text(new)]


def _text(value: object) -> str:
    if value is None:
        return NONE
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


CAPABILITY = Capability(100, of_two=of_two)
