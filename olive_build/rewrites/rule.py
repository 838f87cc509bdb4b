"""What a rewrite returns: how often it applied, and why it declined where it looked and did not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rewritten:
    """The outcome of one rewrite over one graph."""

    count: int
    declined: tuple[str, ...] = ()
