"""A recipe that is being made: settings, each with what it came from, and their text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from olive_build.errors import printable
from olive_build.recipe.tree import KeyPath

Where: TypeAlias = tuple[str | int, ...]

HEAD = ("recipe", "name", "description")
SECTIONS = (*HEAD, "model", "export", "fuse", "variants", "passes", "verify", "targets")
EMPTY: dict[str, Any] = {}


def shown(where: Where) -> str:
    """Return a place in a configuration as people write it: `passes.int8[0].per_channel`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in where)
    return printable(text.removeprefix("."))


@dataclass(frozen=True)
class Setting:
    """A value of the recipe: the places of a configuration that it came from, and a remark."""

    value: Any
    origin: tuple[Where, ...] = ()
    remark: str = ""

    def comment(self) -> str:
        """Return what a reader of the recipe is told of it."""
        parts = (", ".join(map(shown, self.origin)), self.remark)
        return printable(": ".join(filter(None, parts)))


@dataclass
class Draft:
    """Settings by their place in the recipe; a key that is a number is a place in a list."""

    settings: dict[KeyPath, Setting] = field(default_factory=dict)

    def say(self, path: KeyPath, value: Any, *origin: Where, remark: str = "") -> None:
        """Set what the recipe says at `path`, in place of what it said."""
        self.settings[path] = Setting(value, origin, remark)

    def below(self, path: KeyPath) -> dict[KeyPath, Setting]:
        """Return the settings at `path` and below it."""
        return {at: item for at, item in self.settings.items() if at[: len(path)] == path}

    def drop(self, path: KeyPath) -> tuple[Setting, ...]:
        """Take away what the recipe says at `path` and below it; return what was there."""
        return tuple(self.settings.pop(at) for at in self.below(path))

    def text(self, head: Sequence[str] = (), end: Sequence[str] = ()) -> tuple[str, list[KeyPath]]:
        """Return the recipe's text, and the place that each line of it stands for, from line 1.

        `head` is said above it, and `end` below it.
        """
        lines: list[tuple[str, KeyPath]] = [(_comment(line), ()) for line in head]
        for section in SECTIONS:
            if self.below((section,)):
                lines += [("", ())] if section not in HEAD else []
                lines += self._lines((section,), 0)
        if end:
            lines += [("", ()), *((_comment(line), ()) for line in end)]
        return "\n".join(line for line, _ in lines) + "\n", [path for _, path in lines]

    def _lines(self, path: KeyPath, depth: int) -> Iterator[tuple[str, KeyPath]]:
        indent = "  " * depth
        item = self.settings.get(path)
        comment = item.comment() if item else ""
        behind = f"  # {comment}" if comment else ""
        keys = dict.fromkeys(at[len(path)] for at in self.below(path) if at != path)
        if item is not None and not keys:
            yield f"{indent}{_key(path)}{_flow(item.value)}{behind}", path
            return
        yield f"{indent}{_key(path).rstrip()}{behind}", path
        for key in keys:
            yield from self._entry((*path, key), depth + 1)

    def _entry(self, path: KeyPath, depth: int) -> Iterator[tuple[str, KeyPath]]:
        """Yield the lines of what stands in a map, or of an item of a list behind its dash."""
        if isinstance(path[-1], int) and path not in self.settings:
            inner = dict.fromkeys(at[len(path)] for at in self.below(path))
            lines = [line for key in inner for line in self._lines((*path, key), depth + 1)]
            (first, at), *rest = lines
            yield f"{'  ' * depth}- {first.lstrip()}", at
            yield from rest
        else:
            yield from self._lines(path, depth)


def _comment(line: str) -> str:
    return f"# {printable(line)}".rstrip()


def _key(path: KeyPath) -> str:
    return "- " if isinstance(path[-1], int) else f"{_flow(path[-1])}: "


def _flow(value: Any) -> str:
    """Return a value on one line. What YAML 1.1 and 1.2 read otherwise is quoted."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
    return text.strip().removesuffix("\n...")
