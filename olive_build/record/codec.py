"""Frozen dataclasses from JSON and to JSON, and the schema of that JSON.

A field's type says everything: a class of fields, `tuple[T, ...]`, `Mapping[str, T]`, `T | None`, a
Literal, or a text or number, with a `Pattern` or `AtLeast` where not every one is right. `object`
is any JSON; a tuple has one kind of values. What has no field is refused.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")
# Of texts that are shown in an error.
LONGEST = 60
_KEY, _OPTIONAL, _REST = "key", "optional", "rest"
_KINDS: Mapping[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    types.NoneType: "null",
    list: "array",
    dict: "object",
}
_WORDS = {"null": "null", "integer": "a whole number", "array": "a list", "object": "an object"}


class Damaged(ValueError):
    """Where JSON is not as it should be, and why: `variants.int8.files: it is a text, ...`."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place or 'the whole'}: {why}")


@dataclass(frozen=True)
class Pattern:
    """A text must match this as a whole; `why` says in words what it must be."""

    expression: str
    why: str


@dataclass(frozen=True)
class AtLeast:
    """A number must not be smaller."""

    least: int


def optional() -> Any:
    """Return a field that is left out of the JSON where it is None."""
    return field(default=None, metadata={_OPTIONAL: True})


def key(name: str) -> dict[str, str]:
    """Return the metadata of a field that has another name in JSON."""
    return {_KEY: name}


def rest() -> Any:
    """Return a field for all keys that no other field has: a mapping from texts to its values."""
    return field(default_factory=dict, metadata={_REST: True})


def decode(kind: type[T], value: object, place: str = "") -> T:
    """Return the JSON `value` as `kind`. Raises Damaged where it is another thing."""
    return cast("T", _decode(kind, value, place))


def encode(value: object) -> Any:
    """Return what `decode` takes for a value: objects, lists, texts and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {}
        for item in fields(value):
            content = getattr(value, item.name)
            if item.metadata.get(_REST):
                found |= encode(content)
            elif content is not None or not item.metadata.get(_OPTIONAL):
                found[_key(item)] = encode(content)
        return found
    if isinstance(value, Mapping):
        return {str(key): encode(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(content) for content in value]
    return value


def schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `decode` takes for `kind`."""
    known: dict[str, Any] = {}
    _schema(kind, known)
    body = known.pop(kind.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.__name__,
        **body,
        "$defs": dict(sorted(known.items())),
    }


def _key(item: Field[Any]) -> str:
    name: str = item.metadata.get(_KEY, item.name)
    return name


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _decode(kind: Any, value: object, place: str) -> Any:
    origin = get_origin(kind)
    if kind is object:
        return value
    if origin is Annotated:
        return _annotated(kind, value, place)
    if origin in (Union, types.UnionType):
        return _union(get_args(kind), value, place)
    if origin is Literal:
        if isinstance(value, bool) or value not in get_args(kind):
            words = ", ".join(map(repr, get_args(kind)))
            raise Damaged(place, f"{_shown(value)} is none of {words}")
        return value
    if origin is tuple:
        return _tuple(get_args(kind), _of(list, value, place), place)
    if origin is not None and issubclass(origin, Mapping):
        of_key, of_value = get_args(kind)
        return {
            _decode(of_key, key, _below(place, key)): _decode(of_value, item, _below(place, key))
            for key, item in _of(dict, value, place).items()
        }
    if is_dataclass(kind):
        return _object(kind, _of(dict, value, place), place)
    return _of(kind, value, place)


def _tuple(kinds: tuple[Any, ...], values: list[object], place: str) -> tuple[Any, ...]:
    if kinds[-1] is not Ellipsis and len(values) != len(kinds):
        raise Damaged(place, f"it has {len(values)} values, not {len(kinds)}")
    return tuple(
        _decode(kinds[0], item, f"{place}[{number}]") for number, item in enumerate(values)
    )


def _object(kind: Any, value: dict[str, object], place: str) -> Any:
    found: dict[str, Any] = {}
    left = dict(value)
    others = None
    for item in fields(kind):
        hint, key = _hints(kind)[item.name], _key(item)
        if item.metadata.get(_REST):
            others = item
        elif key in left:
            found[item.name] = _decode(hint, left.pop(key), _below(place, key))
        elif _is_required(item):
            raise Damaged(place, f"`{key}` is missing")
    if others is not None:
        found[others.name] = _decode(_hints(kind)[others.name], left, place)
    elif left:
        raise Damaged(place, f"`{_shown(next(iter(left)))}` is not known")
    try:
        return kind(**found)
    except ValueError as error:
        raise Damaged(place, str(error)) from error


def _annotated(kind: Any, value: object, place: str) -> Any:
    base, *limits = get_args(kind)
    found = _decode(base, value, place)
    for limit in limits:
        if isinstance(limit, Pattern) and not re.fullmatch(limit.expression, found):
            raise Damaged(place, f"it is not allowed: {limit.why}")
        if isinstance(limit, AtLeast) and found < limit.least:
            raise Damaged(place, f"{_shown(found)} is less than {limit.least}")
    return found


def _union(kinds: tuple[Any, ...], value: object, place: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not types.NoneType]
    for kind in others[:-1]:
        try:
            return _decode(kind, value, place)
        except Damaged:
            continue
    return _decode(others[-1], value, place)


def _of(kind: type, value: object, place: str) -> Any:
    """Return a value that is of a plain kind; a whole number is a number too."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise Damaged(place, f"it is {_named(type(value))}, not {_named(kind)}")
    return value


def _named(kind: type) -> str:
    name = _KINDS.get(kind, kind.__name__)
    return _WORDS.get(name) or ("a text" if name == "string" else f"a {name}")


def _below(place: str, key: str) -> str:
    return f"{place}.{_shown(key)}" if place else _shown(key)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _schema(kind: Any, known: dict[str, Any]) -> dict[str, Any]:
    origin = get_origin(kind)
    if kind is object:
        return {}
    if origin is Annotated:
        return _schema_of_annotated(kind, known)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(item, known) for item in get_args(kind)]}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if origin is tuple:
        kinds = get_args(kind)
        length = {} if kinds[-1] is Ellipsis else {"minItems": len(kinds), "maxItems": len(kinds)}
        return {"type": "array", "items": _schema(kinds[0], known), **length}
    if origin is not None and issubclass(origin, Mapping):
        of_key, of_value = get_args(kind)
        names = {} if of_key is str else {"propertyNames": _schema(of_key, known)}
        return {"type": "object", **names, "additionalProperties": _schema(of_value, known)}
    if is_dataclass(kind):
        return _schema_of_object(cast("type", kind), known)
    return {"type": _KINDS[kind]}


def _schema_of_annotated(kind: Any, known: dict[str, Any]) -> dict[str, Any]:
    base, *limits = get_args(kind)
    found = _schema(base, known)
    for limit in limits:
        if isinstance(limit, Pattern):
            found |= {"pattern": f"^(?:{limit.expression})$", "description": limit.why}
        if isinstance(limit, AtLeast):
            found |= {"minimum": limit.least}
    return found


def _schema_of_object(kind: type, known: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{kind.__name__}"}
    if kind.__name__ in known:
        return reference
    found: dict[str, Any] = {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
    }
    known[kind.__name__] = found
    properties: dict[str, Any] = {}
    others: Any = False
    for item in fields(kind):
        hint = _hints(kind)[item.name]
        if item.metadata.get(_REST):
            others = _schema(get_args(hint)[1], known)
        else:
            properties[_key(item)] = _schema(hint, known)
    found["properties"] = properties
    found["required"] = [
        _key(item) for item in fields(kind) if _is_required(item) and not item.metadata.get(_REST)
    ]
    found["additionalProperties"] = others
    return reference
