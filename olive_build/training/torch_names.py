"""What to say of a name that a model does not have: the names near it, and what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

NEAR = 3
# More groups than a person reads are cut; a model has a few, lists of layers inside them many.
LISTED = 12


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the names of `known` that `name` is most likely a slip of, the likeliest first.

    Wildcards of a shell pattern are left out of what is compared.
    """
    plain = "".join(character for character in name if character not in "*?[]")
    return difflib.get_close_matches(plain[:200], list(known), n=NEAR, cutoff=0.5)


def what_there_is(name: str, known: Sequence[str], what: str) -> str:
    """Return `near it: a, b; there is: c, d`, with the top-level groups of `known`.

    `what` names what is listed, such as `parameters`.
    """
    groups = dict.fromkeys(entry.partition(".")[0] for entry in known)
    found = near(name, known)
    if not found:
        # A pattern's start is a group's or a layer's name more often than a whole parameter's.
        prefixes = dict.fromkeys(prefix for entry in known for prefix in _prefixes(entry))
        found = near(name, prefixes)
    said = f"the nearest are {', '.join(found)}; " if found else ""
    return f"{said}its {what} are below {listed(groups)}"


def listed(names: Iterable[str]) -> str:
    """Return names as `a, b, c`, cut where there are too many, or `none`."""
    found = list(names)
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return (", ".join(found[:LISTED]) + more) or "none"


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
