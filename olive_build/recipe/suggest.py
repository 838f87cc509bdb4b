"""Did you mean: the nearest of the names that are known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` is most likely a slip of, or None where none is near.

    Near is what holds the other, or differs from it in a quarter of its letters at most: names that
    only end alike are of other things.
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    # A very long text is no slip of a name, and comparing it would take long.
    name = name.lower()[:80]
    for close in difflib.get_close_matches(name, lowered, n=3, cutoff=0.52):
        if name in close or close in name:
            return lowered[close]
        if _slips(name, close) <= max(1, max(len(name), len(close)) // 4):
            return lowered[close]
    return None


def _slips(a: str, b: str) -> int:
    """Return how many letters must be put in, left out, changed, or swapped with the next.

    Damerau-Levenshtein, optimal string alignment.
    """
    rows = [list(range(len(b) + 1))]
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(row[-1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return 'did you mean ...?' with the nearest known name, or `otherwise`."""
    found = nearest(name, known)
    return f"did you mean '{found}'?" if found else otherwise


def listed(names: Iterable[object]) -> str:
    """Return names as 'a, b, c', or 'none'."""
    return ", ".join(str(name) for name in names) or "none"
