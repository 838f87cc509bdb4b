"""Limits that a measurement of time must run long enough to decide. Light: plans hold them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimeLimit:
    """A limit on the first contestant's time.

    `what` is `latency` or `load`. `against` is the contestant whose time it is a multiple of; None
    makes it milliseconds. It concerns one length in tokens and one thread count, or all of those
    where they are None.
    """

    what: str
    against: str | None
    ceiling: float
    tokens: int | None = None
    threads: int | None = None

    def text(self) -> str:
        """Return what is limited, in words."""
        return f"{self.what} against {self.against}" if self.against else self.what
