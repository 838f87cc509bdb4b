"""What each step took that made the files and measured them."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import Column, Content, Section, Text, code, table
from olive_build.report.builds import Build
from olive_build.report.made_by import StepView
from olive_build.report.numbers import number, seconds, size
from olive_build.report.sections import Capability

UNKNOWN = (
    "The cache of this machine does not know the steps that made these files: they were built "
    "elsewhere, or the cache was cleaned."
)
COLUMNS = (
    Column("Step", "name"),
    Column("Kind"),
    Column("Time", "number"),
    Column("Peak memory", "number"),
    Column("Output", "number"),
)


def of_one(build: Build) -> Iterator[Section]:
    """Yield the steps in the order in which they need each other."""
    found = build.steps
    if not found:
        yield Section("steps", "Steps", (Text(UNKNOWN),))
        return
    longest = max(step.seconds for step in found) or 1
    most = max(step.peak_bytes or 0 for step in found) or 1
    made = sum(step.seconds for step in found if not step.proves)
    total = sum(step.seconds for step in found)
    caption = (
        f"{len(found)} steps, {seconds(made)} to make the files and {seconds(total - made)} to "
        "measure them, as they ran last; several run at once, and what did not change runs once."
    )
    rows = [_row(step, longest, most) for step in found]
    yield Section("steps", "Steps", (table("steps", COLUMNS, rows, caption),))


def _row(step: StepView, longest: float, most: float) -> list[Content]:
    peak = step.peak_bytes
    return [
        code(step.slot),
        step.kind,
        number(step.seconds, seconds(step.seconds), share=step.seconds / longest),
        size(peak, peak / most) if peak else number(None, ""),
        size(step.size_bytes),
    ]


CAPABILITY = Capability(80, of_one)
