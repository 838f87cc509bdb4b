"""What a report shows of one build, and of two: one capability a file, found by walking.

A file has a `CAPABILITY`; nothing else names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from olive_build import rooms
from olive_build.report.blocks import Fact, Section
from olive_build.report.builds import Build, VariantView
from olive_build.report.comparison import Change, Comparison

ROOM = "report.sections"
T = TypeVar("T")


def nothing(_: object) -> Iterator[T]:
    """Return none: a capability that has nothing to show there."""
    return iter(())


@dataclass(frozen=True)
class Capability:
    """What is shown of one thing that builds can do; sections with a lower `place` come first.

    `facts` are for the page's head. `changes` are figures of a variant in two builds, which stand
    in the table of all figures and are counted.
    """

    place: int
    of_one: Callable[[Build], Iterable[Section]] = nothing
    of_two: Callable[[Comparison], Iterable[Section]] = nothing
    facts: Callable[[Build], Iterable[Fact]] = nothing
    changes: Callable[[VariantView, VariantView, bool], Iterable[Change]] | None = None


def capabilities() -> list[Capability]:
    """Return all of them, in the order of the page."""
    found = [rooms.module(ROOM, name).CAPABILITY for name in rooms.names(ROOM)]
    return sorted(found, key=lambda item: item.place)


def changes(old: VariantView, new: VariantView, *, same_machine: bool) -> list[Change]:
    """Return how each figure of a variant changed, of whatever capability."""
    makers = [item.changes for item in capabilities() if item.changes]
    return [change for make in makers for change in make(old, new, same_machine)]
