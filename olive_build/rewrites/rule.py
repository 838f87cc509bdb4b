"""The result of a rewrite: how often it applied, and why it declined elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rewritten:
    """The outcome of one rewrite over one graph."""

    count: int
    declined: tuple[str, ...] = ()
