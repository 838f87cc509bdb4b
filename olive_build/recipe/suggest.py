"""Did you mean: the nearest of the names that are known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` is most likely a slip of, or None where none is near."""
    lowered = {candidate.lower(): candidate for candidate in known}
    # A very long text is no slip of a name, and comparing it would take long.
    close = difflib.get_close_matches(name.lower()[:80], lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return 'did you mean ...?' with the nearest known name, or `otherwise`."""
    found = nearest(name, known)
    return f"did you mean '{found}'?" if found else otherwise


def listed(names: Iterable[object]) -> str:
    """Return names as 'a, b, c', or 'none'."""
    return ", ".join(str(name) for name in names) or "none"
