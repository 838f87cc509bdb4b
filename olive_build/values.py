"""Frozen dataclasses that are quick to define, for modules that every verb imports.

For each class `dataclasses` compiles six functions, half a millisecond in all (until Python 3.13):
with the classes of the record, the plan and the targets that was a tenth of a build in which
nothing changed. Here one set of functions, which looks the fields up, serves all classes. An
instance takes longer to make, so what is made by the thousand stays with `dataclasses`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(
        cls: type | None = None, /, *, frozen: bool, kw_only: bool = False
    ) -> type | Callable[[type], type]:
        """Return a class made a dataclass, as `dataclasses.dataclass` of these options would."""
        if not frozen:
            raise TypeError("a value is frozen")
        return _made(cls, kw_only) if cls else lambda cls: _made(cls, kw_only)


def _made(cls: type, kw_only: bool) -> type:
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    if not all(item.init and item.repr and item.compare for item in fields(made)):
        raise TypeError(f"{cls.__name__} has a field that is not a part of its value")
    for name, function in _METHODS.items():
        if name not in vars(cls):
            setattr(cls, name, function)
    return cls


@cache
def _read(cls: Any) -> tuple[tuple[str, ...], tuple[tuple[str, Any, Any], ...]]:
    """Return the names that are given by place, and each field with its default and its maker."""
    found = fields(cls)
    by_place = tuple(item.name for item in found if not item.kw_only)
    return by_place, tuple((item.name, item.default, item.default_factory) for item in found)


def _init(self: Any, /, *values: object, **given: object) -> None:
    by_place, all_fields = _read(self.__class__)
    if len(values) > len(by_place):
        raise TypeError(f"{type(self).__name__} takes {len(by_place)} values, not {len(values)}")
    for name, value in zip(by_place, values, strict=False):
        if name in given:
            raise TypeError(f"{type(self).__name__} is given {name!r} twice")
        given[name] = value
    content = vars(self)
    for name, default, factory in all_fields:
        if name in given:
            content[name] = given.pop(name)
        elif default is not MISSING:
            content[name] = default
        elif factory is not MISSING:
            content[name] = factory()
        else:
            raise TypeError(f"{type(self).__name__} lacks {name!r}")
    if given:
        raise TypeError(f"{type(self).__name__} has no field {next(iter(given))!r}")
    if post := getattr(self, "__post_init__", None):
        post()


def _values(self: Any) -> tuple[object, ...]:
    content = vars(self)
    return tuple(content[name] for name, _, _ in _read(self.__class__)[1])


def _repr(self: Any) -> str:
    names = (name for name, _, _ in _read(self.__class__)[1])
    pairs = zip(names, _values(self), strict=True)
    return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(_: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(_: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
