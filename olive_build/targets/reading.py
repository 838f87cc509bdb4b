"""Read the data files strictly: an unknown, missing or ill-typed key is an error with its file.

These files are ours, so an error here is a mistake in a change of the data, found by the first
test that loads it. They are small, hand-written YAML; recipes have a reader of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import OliveBuildError


class DataError(OliveBuildError):
    """A data file of this package is wrong: a bug of ours, so the exit code is a bug's."""


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises DataError: unreadable, no mapping, double key."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path.name}", where=str(path), why=str(error)) from error
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        _refuse_double_keys(root, path)
        data = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{path.name} is not YAML", where=str(path), why=str(error)) from error
    if not isinstance(data, dict):
        raise DataError(f"{path.name} is not a mapping", where=str(path))
    return data


def _refuse_double_keys(node: Any, path: Path) -> None:
    # PyYAML keeps the last of two equal keys in silence.
    import yaml

    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_double_keys(item, path)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            line = key.start_mark.line + 1
            raise DataError(f"key {key.value!r} twice in {path.name}", where=f"{path}:{line}")
        seen.add(key.value)
        _refuse_double_keys(value, path)


class Fields:
    """The keys of one mapping of a file, each taken once with its type; `done` refuses the rest.

    ``place`` is the path of keys to the mapping, for messages. Every method raises DataError.
    """

    def __init__(self, data: object, path: Path, place: str = "") -> None:
        self._path = path
        self._place = place
        if not isinstance(data, Mapping):
            raise self._error("is not a mapping", "")
        self._data = data
        self._taken: set[str] = set()

    def text(self, key: str, allowed: Collection[str] | None = None) -> str:
        """Return a text that is not empty, of ``allowed`` where that is given."""
        value = self._take(key)
        if not isinstance(value, str) or not value.strip():
            raise self._error("must be a text", key)
        return self._allowed(key, value, allowed)

    def optional_text(self, key: str, absent: str | None = None) -> str | None:
        """Return a text, or ``absent`` where the key is missing or null."""
        return self.text(key) if self._data.get(key) is not None else self._skip(key, absent)

    def raw_text(self, key: str) -> str:
        """Return a text that may be blank."""
        value = self._take(key)
        if not isinstance(value, str):
            raise self._error("must be a text", key)
        return value

    def text_mapping(self, key: str) -> dict[str, str]:
        """Return a mapping of texts that are not empty."""
        fields = self.inside(key)
        return {name: fields.text(name) for name in fields.names()}

    def number(self, key: str) -> int:
        """Return a whole number above zero."""
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._error("must be a whole number above zero", key)
        return value

    def optional_number(self, key: str) -> int | None:
        """Return a whole number above zero, or None where the key is null."""
        return self.number(key) if self._take(key) is not None else None

    def truth(self, key: str) -> bool:
        """Return true or false."""
        value = self._take(key)
        if not isinstance(value, bool):
            raise self._error("must be true or false", key)
        return value

    def texts(self, key: str, allowed: Collection[str] | None = None) -> tuple[str, ...]:
        """Return a list of different texts, each of ``allowed`` where that is given."""
        items = self._list(key)
        if not all(isinstance(item, str) and item for item in items):
            raise self._error("must be a list of texts", key)
        if len(set(items)) != len(items):
            raise self._error("has an entry twice", key)
        return tuple(self._allowed(key, item, allowed) for item in items)

    def optional_texts(self, key: str, allowed: Collection[str] | None = None) -> tuple[str, ...]:
        """Return a list of different texts as `texts` does, empty where the key is missing."""
        return self.texts(key, allowed) if key in self._data else ()

    def choices(self, key: str, allowed: Collection[int]) -> tuple[int, ...]:
        """Return a list of different whole numbers, each of ``allowed``, in its order."""
        items = self._list(key)
        if len(set(items)) != len(items) or any(type(item) is not int for item in items):
            raise self._error("must be a list of different whole numbers", key)
        if strange := [item for item in items if item not in allowed]:
            raise self._error(f"has {strange[0]}, not one of {', '.join(map(str, allowed))}", key)
        return tuple(item for item in allowed if item in items)

    def mappings(self, key: str) -> tuple[Fields, ...]:
        """Return a list of mappings, each to be read in its turn."""
        places = enumerate(self._list(key))
        return tuple(Fields(item, self._path, self._inner(f"{key}[{i}]")) for i, item in places)

    def mapping(self, key: str) -> dict[str, Fields]:
        """Return a mapping of mappings by their keys."""
        value = self._take(key)
        if not isinstance(value, Mapping):
            raise self._error("must be a mapping", key)
        return {str(k): Fields(v, self._path, self._inner(f"{key}.{k}")) for k, v in value.items()}

    def inside(self, key: str) -> Fields:
        """Return a mapping to be read in its turn."""
        return Fields(self._take(key), self._path, self._inner(key))

    def names(self) -> tuple[str, ...]:
        """Return the keys of the mapping, in the file's order."""
        return tuple(str(key) for key in self._data)

    def done(self) -> None:
        """Refuse every key that was not taken."""
        unknown = [key for key in self.names() if key not in self._taken]
        if unknown:
            known = ", ".join(sorted(self._taken))
            raise self._error(f"is unknown; known here: {known}", unknown[0])

    def _take(self, key: str) -> Any:
        self._taken.add(key)
        if key not in self._data:
            raise self._error("is missing", key)
        return self._data[key]

    def _skip(self, key: str, absent: str | None) -> str | None:
        self._taken.add(key)
        return absent

    def _list(self, key: str) -> list[Any]:
        value = self._take(key)
        if not isinstance(value, list):
            raise self._error("must be a list", key)
        return value

    def _allowed(self, key: str, value: str, allowed: Collection[str] | None) -> str:
        if allowed is not None and value not in allowed:
            raise self._error(f"is {value!r}, not one of {', '.join(allowed)}", key)
        return value

    def _inner(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def _error(self, problem: str, key: str) -> DataError:
        place = self._inner(key) if key else self._place
        subject = f"'{place}' " if place else ""
        return DataError(f"{subject}{problem} in {self._path.name}", where=str(self._path))
