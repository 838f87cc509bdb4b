"""The code of ours that a step reaches, and the libraries that this code imports.

Found by reading, never by importing. A module falls into units: what it does when it is imported,
and each function and class at its top. A unit reaches what it imports, wherever in it that stands,
and what it mentions; a module that is imported is reached too, for its top runs then. A text that
is the name of a module of ours counts as an import: child processes are started by such, and
steps have them as fields. Whoever
asks a room by its name for modules (`rooms.module`) reaches all that it holds.

Comments and docstrings are no code, and what only a type checker imports is not reached.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from olive_build import rooms

TOP, WHOLE = "", "*"
"""The unit that is a module's own, and all of them."""
DATA = ("yaml", "json", "jsonl", "npz", "txt")
"""Endings of the files that code of ours reads as data."""
MODULE = re.compile(rf"{rooms.PACKAGE}(\.\w+)+", re.ASCII)
"""A text that may be the name of a module of ours."""
_MOST_KNOWN = 3000  # files of all versions
_RUNS_STEPS = ("engine/", "rooms.py", "errors.py", "processes.py", "toolchains/run.py")
_RACY_NS = 2_000_000_000


@dataclass(frozen=True)
class Reached:
    """What a step's result depends on beside its fields and inputs."""

    files: Mapping[str, str]
    """File relative to the package -> 16 hex digits of what is reached in it; sorted."""
    libraries: tuple[str, ...]
    """What this code imports that is neither ours nor Python's, by its first name; sorted."""


def reached(kind: str, modules: tuple[str, ...] = ()) -> Reached:
    """Return what a kind of step reaches that has names of modules of ours in its fields.

    Raises LookupError for a kind outside of the rooms.
    """
    known, asked = _kept("reached"), " ".join((kind, *modules))
    if known.content.get("stamp") != _sources().stamp:
        known.content = {"stamp": _sources().stamp}
    if asked not in known.content:
        found = _Walk().through(kind, modules)
        known.content[asked] = [found.files, found.libraries]
        known.changed = True
    files, libraries = known.content[asked]
    return Reached(files, tuple(libraries))


def unreached(files: Mapping[str, str], modules: Iterable[str]) -> list[str]:
    """Return the files of modules that ran in a step and are not in what it reaches; sorted.

    What runs steps is in no step's key.
    """
    known = _sources().modules
    ran = {known[name].name for name in modules if name in known}
    return sorted(name for name in ran - files.keys() if not name.startswith(_RUNS_STEPS))


def remember() -> None:
    """Write what was learnt; failing to is not an error, as it only costs time later.

    What goes by times is not kept while a file is so new that another change may leave its time
    (see `trees.Stamps`).
    """
    if _kept("units").changed or _kept("reached").changed:
        _kept("units").save()
        if time.time_ns() - _sources().newest > _RACY_NS:
            _kept("reached").save()


class _Walk:
    """A way through the units, beginning with the class of a step."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = {}
        self.asked: set[tuple[str, str]] = set()
        self.todo: list[tuple[str, str]] = []
        self.libraries: set[str] = set()

    def through(self, kind: str, modules: tuple[str, ...]) -> Reached:
        module, _, name = kind.partition(":")
        if module not in _sources().modules:
            raise LookupError(f"{module} is in no room of {rooms.PACKAGE}")
        self.todo = [(module, name), *((text, WHOLE) for text in modules)]
        while self.todo:
            self._visit(*self.todo.pop())
        files = {}
        for found, units in self.seen.items():
            known = _units(found)
            code = "".join(f"{unit} {known[unit]['code']}\n" for unit in sorted(units))
            files[_sources().modules[found].name] = _short(code.encode())
            texts = {text for unit in units for text in known[unit]["texts"]}
            files |= _data(_sources().modules[found], texts)
        libraries = sorted(self.libraries - sys.stdlib_module_names)
        return Reached(dict(sorted(files.items())), tuple(libraries))

    def _visit(self, module: str, name: str) -> None:
        while module not in _sources().modules:  # a name in a package, or in a module
            module, _, name = module.rpartition(".")
            if not module:
                return
        if (module, name) in self.asked:
            return
        self.asked.add((module, name))
        units = _units(module)
        seen = self.seen.setdefault(module, set())
        if TOP not in seen:
            self._enter(module, TOP)
            parent = module.rpartition(".")[0]
            self.todo += [(parent, TOP)] if parent else []
        for unit in units if name == WHOLE else (name,):
            if unit in units:
                if unit not in seen:
                    self._enter(module, unit)
            elif unit in units[TOP]["binds"]:  # it has the name from another module
                self.todo.append(tuple(units[TOP]["binds"][unit]))
            elif f"{module}.{unit}" in _sources().modules:
                self.todo.append((f"{module}.{unit}", WHOLE))

    def _enter(self, module: str, unit: str) -> None:
        units = _units(module)
        self.seen[module].add(unit)
        found = units[unit]
        self.libraries.update(found["libraries"])
        for text in found["modules"]:
            named = fnmatch.filter(_sources().modules, text) if "*" in text else [text]
            self.todo += [(name, WHOLE) for name in named]
        for target, name in found["imports"]:
            # What a module imports runs with it; which names of it are used, the mentions say.
            self.todo.append((target, TOP if unit == TOP else name))
            if unit == TOP and f"{target}.{name}" in _sources().modules:
                self.todo.append((f"{target}.{name}", TOP))
        binds = units[TOP]["binds"]
        for name in found["names"]:
            if name in units:
                self.todo.append((module, name))
            elif name in binds:
                self.todo.append(tuple(binds[name]))


@dataclass(frozen=True)
class _Source:
    path: str
    name: str
    """As people read it: "rewrites/padding_mask.py"."""


@dataclass(frozen=True)
class _Sources:
    modules: Mapping[str, _Source]
    """By dotted name."""
    stamp: str
    """Says that no file was changed, by sizes and times."""
    newest: int
    """When the last was changed, in nanoseconds since 1970."""


def _sources() -> _Sources:
    """Return every module of ours and of the folders that were joined."""
    return _walked(rooms.extensions())


@cache
def _walked(joined: tuple[Path, ...]) -> _Sources:
    modules: dict[str, _Source] = {}
    stamps: list[tuple[str, int, int]] = []
    for root in (Path(rooms.__file__).parent, *joined):
        for folder, names, files in os.walk(root):
            names[:] = sorted(name for name in names if name != "__pycache__")
            below = os.path.relpath(folder, root).replace(os.sep, "/").removeprefix(".")
            for file in sorted(files):
                path = os.path.join(folder, file)
                status = os.stat(path)
                stamps.append((path, status.st_size, status.st_mtime_ns))
                if file.endswith(".py"):
                    name = f"{below}/{file}".lstrip("/")
                    dotted = f"{rooms.PACKAGE}/{name[:-3]}".replace("/", ".")
                    modules.setdefault(dotted.removesuffix(".__init__"), _Source(path, name))
    stamp = hashlib.sha256(repr((sys.version_info, stamps)).encode()).hexdigest()
    return _Sources(modules, stamp, max(changed for _, _, changed in stamps))


def _data(source: _Source, texts: set[str]) -> dict[str, str]:
    """Return the digests of the data files that a module's code names by name or ending.

    They lie beside it, or in a folder below that holds no code.
    """
    found = {}
    folder = Path(source.path).parent
    for path in _data_beside(folder) if texts else ():
        if path.name in texts or any(
            path.name.endswith(text.lstrip("*")) for text in texts if text[0] in "*."
        ):
            name = path.relative_to(folder).as_posix()
            below = source.name.rpartition("/")[0]
            found[f"{below}/{name}"] = _short(path.read_bytes())
    return found


@cache
def _data_beside(folder: Path) -> tuple[Path, ...]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__" and not any(path.rglob("*.py")):
            found += [item for item in sorted(path.rglob("*")) if item.is_file()]
        elif path.suffix[1:] in DATA:
            found.append(path)
    return tuple(found)


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@cache
def _units(module: str) -> Mapping[str, Any]:
    """Return a module's units by name, from the cache where its bytes were read before."""
    content = Path(_sources().modules[module].path).read_bytes()
    key = hashlib.sha256(_reader() + content).hexdigest()
    known = _kept("units")
    if key not in known.content:
        from olive_build.engine.code_units import units_of  # what reads code costs start-up time

        if len(known.content) > _MOST_KNOWN:
            known.content = {}
        known.content[key] = units_of(content, module)
        known.changed = True
    found: Mapping[str, Any] = known.content[key]
    return found


@cache
def _reader() -> bytes:
    """Return what else the units of a file depend on: who reads it, and Python's own reader."""
    reader = Path(__file__).with_name("code_units.py").read_bytes()
    return hashlib.sha256(f"{sys.version_info}".encode() + reader).digest()


class _Kept:
    """A file of JSON beside the store, with what is found out again where it is gone."""

    def __init__(self, path: Path) -> None:
        self.path, self.changed = path, False
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            loaded = None
        self.content: dict[str, Any] = loaded if isinstance(loaded, dict) else {}

    def save(self) -> None:
        from olive_build.engine.trees import write_atomically  # it knows this module

        if self.changed:
            with suppress(OSError):
                write_atomically(self.path, self.content)
            self.changed = False


@cache
def _kept(name: str) -> _Kept:
    from olive_build.engine.store import FORMAT, default_root  # it knows this module

    return _Kept(default_root() / FORMAT / "code" / f"{name}.json")
