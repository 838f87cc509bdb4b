"""One figure in two builds: how it is told."""

from __future__ import annotations

from dataclasses import dataclass

from olive_build.report.html.numbers import signed


@dataclass(frozen=True)
class Change:
    """One figure of one variant in both builds, None where a build lacks it."""

    title: str
    old: float | None
    new: float | None
    old_text: str
    new_text: str
    change: str
    verdict: str


def percent(old: float, new: float) -> str:
    """Return a change in percent of what was."""
    share = (new - old) / old
    return signed(share, f"{abs(share):.1%}")
