"""What each step took that made the files and measured them."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import Section, Text, code, table
from olive_build.report.builds import Build
from olive_build.report.numbers import number, seconds, size
from olive_build.report.sections import Capability

UNKNOWN = (
    "The cache of this machine does not know the steps that made these files: they were built "
    "elsewhere, or the cache was cleaned."
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
    steps = table(
        "steps",
        caption,
        found,
        ("Step", "name", lambda step: code(step.slot)),
        ("Kind", "", lambda step: step.kind),
        (
            "Time",
            "number",
            lambda step: number(step.seconds, seconds(step.seconds), share=step.seconds / longest),
        ),
        (
            "Peak memory",
            "number",
            lambda step: size(step.peak_bytes, (step.peak_bytes or 0) / most),
        ),
        ("Output", "number", lambda step: size(step.size_bytes)),
    )
    yield Section("steps", "Steps", (steps,))


CAPABILITY = Capability(80, of_one)
