"""What the product has many of is found by walking a room: a package with one thing a file.

Figures, methods, families, verbs and the like are in no list; whoever wants all of them asks here.
A folder elsewhere that has rooms of the same names can be joined to ours (`extend`), which only a
program in Python can do: neither a recipe nor a bundle, nor a variable of the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, TypeVar

PACKAGE = __package__
Kind = TypeVar("Kind")

_extensions: list[Path] = []


def names(room: str) -> tuple[str, ...]:
    """Return the names of the modules and packages in a room ("methods"), sorted, none imported.

    The room "" holds the rooms. Those that begin with `_` are no things of the room.
    """
    return _names(room, extensions())


@cache
def _names(room: str, joined: tuple[Path, ...]) -> tuple[str, ...]:
    found = {item.name for item in iter_modules(getattr(_package(room), "__path__", ()))}
    return tuple(sorted(name for name in found if not name.startswith("_")))


def module(room: str, name: str) -> ModuleType:
    """Import what a room holds under a name. Raises LookupError where it holds none."""
    if name not in names(room):
        raise LookupError(f"nothing in olive_build/{room} is called {name!r}")
    return import_module(f"{PACKAGE}.{room}.{name}")


def look_up(dotted: str) -> Any:
    """Import the module of a dotted name, looked up from room to room.

    A module that has a `SIDE` is there for that alone, which is returned. For names out of a plan
    or a record: nothing is imported because a text names it. Raises LookupError where the rooms
    hold no such module.
    """
    package, *path = dotted.split(".")
    parts = enumerate(path)
    if package != PACKAGE or any(part not in names(".".join(path[:at])) for at, part in parts):
        raise LookupError(f"{dotted!r} is in no room of {PACKAGE}")
    found = import_module(dotted)
    return getattr(found, "SIDE", found)


def kinds(room: str, base: type[Kind]) -> tuple[type[Kind], ...]:
    """Return the classes of a kind that the modules of a room define, in the order of the files."""
    return tuple(kind for kind in _classes(room, extensions()) if issubclass(kind, base))


@cache
def _classes(room: str, joined: tuple[Path, ...]) -> tuple[type, ...]:
    modules = [module(room, name) for name in names(room)]
    return tuple(
        kind
        for found in modules
        for kind in tuple(vars(found).values())
        if isinstance(kind, type) and kind.__module__ == found.__name__
    )


def files(room: str, pattern: str) -> Iterator[Path]:
    """Yield the files of a room that match a pattern ("*.yaml"), by name; ours before others."""
    for folder in _package(room).__path__:
        yield from sorted(Path(folder).glob(pattern))


def extend(folder: Path) -> None:
    """Join a folder's rooms to ours: its `methods/toy.py` becomes `olive_build.methods.toy`.

    Raises ValueError where there is no such folder, or a room holds something of that name already.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    if folder in _extensions:
        return
    for inner in sorted(path for path in folder.rglob("*") if path.is_dir()):
        room = ".".join(inner.relative_to(folder).parts)
        package = _existing(room)
        if package is None or str(inner) in package.__path__:
            continue
        own = {item.name for item in iter_modules(package.__path__) if not item.ispkg}
        twice = sorted(own & {item.name for item in iter_modules([str(inner)])})
        if twice:
            raise ValueError(f"{inner} has {', '.join(twice)}, and so has olive_build/{room}")
        package.__path__.append(str(inner))
    _extensions.append(folder)


def extensions() -> tuple[Path, ...]:
    """Return the folders that were joined, so that another process can join them too."""
    return tuple(_extensions)


def _package(room: str) -> ModuleType:
    return import_module(f"{PACKAGE}.{room}".rstrip("."))


def _existing(room: str) -> ModuleType | None:
    """Return one of our packages, or None if there is none of that name."""
    try:
        found = import_module(f"{PACKAGE}.{room}")
    except ModuleNotFoundError:
        return None
    return found if hasattr(found, "__path__") else None
