"""What became of each value of a configuration: nothing of it is lost without being listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from olive_build.errors import UsageError
from olive_build.recipe.draft import Where, shown

UNKNOWN = "olive_build does not know this key"


@dataclass(frozen=True)
class Left:
    """What has no counterpart in a recipe: its place, and why."""

    where: Where
    why: str


@dataclass
class Ledger:
    """Decisions by place. What is said of a map or list holds for all in it without its own.

    `used` are the places that something in the recipe was made of, `left` those that have no
    counterpart, with the reason.
    """

    configuration: dict[str, Any]
    used: set[Where] = field(default_factory=set)
    left: dict[Where, str] = field(default_factory=dict)

    def use(self, where: Where) -> None:
        """Note that the recipe says what the configuration says there."""
        self.used.add(where)
        self.left.pop(where, None)

    def leave(self, where: Where, why: str) -> None:
        """Note why the recipe does not say what the configuration says there."""
        self.used.discard(where)
        self.left[where] = why

    def listed(self) -> tuple[Left, ...]:
        """Return all without counterpart, in the configuration's order, one for each decision.

        Those about a map whose values are all in the recipe come last.
        """
        found: dict[Where, str] = {}
        for leaf in _leaves(self.configuration, ()):
            decided = next(
                (at for at in _upwards(leaf) if at in self.used or at in self.left), None
            )
            if decided is None:
                found[leaf] = UNKNOWN
            elif decided in self.left:
                found[decided] = self.left[decided]
        found |= {where: why for where, why in self.left.items() if where not in found}
        return tuple(Left(where, why) for where, why in found.items())


def _leaves(value: Any, where: Where) -> Iterator[Where]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in inner:
        if isinstance(child, (dict, list)) and child:
            yield from _leaves(child, (*where, key))
        else:
            yield (*where, key)


def _upwards(where: Where) -> Iterator[Where]:
    yield from (where[:end] for end in range(len(where), 0, -1))


@dataclass(frozen=True)
class Found:
    """A value of the configuration, and its place."""

    where: Where
    value: Any


class Part:
    """A map of the configuration. What is inside its map `nested` counts as if it stood beside.

    Olive takes both: {"type": t, "config": {"a": 1}} and {"type": t, "a": 1}.
    """

    def __init__(self, ledger: Ledger, found: Found, nested: str = "") -> None:
        self.ledger, self.where = ledger, found.where
        _require_map(found)
        self._entries = dict[str, Found]()
        self._add({k: v for k, v in found.value.items() if k != nested}, found.where)
        inside = found.value.get(nested) if nested else None
        if inside is None:
            ledger.use((*found.where, nested))
            return
        _require_map(Found((*found.where, nested), inside))
        for key in inside.keys() & self._entries.keys():
            ledger.leave(self._entries[key].where, f"`{nested}` says it too, and wins in Olive")
        self._add(inside, (*found.where, nested))

    def _add(self, values: dict[str, Any], where: Where) -> None:
        for key, value in values.items():
            self._entries[key] = Found((*where, key), value)
            if value is None:
                self.ledger.use((*where, key))  # the same as to leave it out

    def find(self, key: str) -> Found | None:
        """Return a value by its key; None where it is left out or null."""
        found = self._entries.get(key)
        return None if found is None or found.value is None else found

    def text(self, key: str) -> str | None:
        """Return a value that is text. Raises UsageError for one that is not."""
        found = self.find(key)
        if found is not None and not isinstance(found.value, str):
            raise _wrong(found, "text")
        return None if found is None else found.value

    def entries(self) -> Iterator[tuple[str, Found]]:
        """Yield the keys with their values, those that are null left out."""
        yield from ((k, found) for k, found in self._entries.items() if found.value is not None)

    def part(self, key: str, nested: str = "") -> Part:
        """Return the map under a key, an empty one where there is none. Raises UsageError."""
        found = self.find(key) or Found((*self.where, key), {})
        return Part(self.ledger, found, nested)

    def use(self, *keys: str) -> None:
        """Note that the recipe says what these keys say."""
        for key in keys:
            if key in self._entries:
                self.ledger.use(self._entries[key].where)

    def leave(self, key: str, why: str) -> None:
        """Note why the recipe does not say what a key says; nothing where it is not there."""
        found = self.find(key)
        if found is not None:
            self.ledger.leave(found.where, why)


def as_list(found: Found | None) -> list[Found]:
    """Return the items of a list, or the one value that stands for a list of one."""
    if found is None:
        return []
    if isinstance(found.value, list):
        return [Found((*found.where, at), item) for at, item in enumerate(found.value)]
    return [found]


def _require_map(found: Found) -> None:
    if not isinstance(found.value, dict):
        raise _wrong(found, "a map")


def _wrong(found: Found, wanted: str) -> UsageError:
    what = {dict: "a map", list: "a list", str: "text", bool: "true or false"}
    kind = what.get(type(found.value), "a number")
    return UsageError(
        "this is no run configuration of Olive",
        where=shown(found.where),
        why=f"it is {kind}; Olive takes {wanted} there",
        hint="correct it: `olive run` would refuse it too",
    )
