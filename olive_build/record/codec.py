"""Frozen dataclasses from JSON and to JSON, and the schema of that JSON.

A field's type says everything: a class of fields, `tuple[T, ...]`, `Mapping[str, T]`, `T | None`, a
Literal, or a text or number, with a `Pattern` or `AtLeast` where not every one is right. `object`
is any JSON; a tuple has one kind of values. What has no field is refused.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable, Mapping
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
# Makes a value of JSON, or raises Damaged with the place below that value.
Decoder = Callable[[object], Any]
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
        super().__init__(place, why)
        self._place, self._why = place, why

    def __str__(self) -> str:
        """The place from the outermost object on, and why."""
        return f"{self._place.removeprefix('.') or 'the whole'}: {self._why}"

    def lies_in(self, part: str) -> None:
        """Say which part of the object or list around it the place is in: `.files`, `[0]`."""
        self._place = part + self._place


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


def decode(kind: type[T], value: object) -> T:
    """Return the JSON `value` as `kind`. Raises Damaged where it is another thing."""
    return cast("T", _decoder(kind)(value))


def encode(value: object) -> Any:
    """Return what `decode` takes for a value: objects, lists, texts and numbers."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {}
        for name, key, is_optional, is_rest in _written_fields(type(value)):
            content = getattr(value, name)
            if is_rest:
                found |= encode(content)
            elif content is not None or not is_optional:
                found[key] = encode(content)
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


@functools.cache
def _written_fields(kind: type) -> tuple[tuple[str, str, bool, bool], ...]:
    """Return how a class is written: (field, name in JSON, may be left out, is the rest)."""
    return tuple(
        (item.name, _key(item), _OPTIONAL in item.metadata, _REST in item.metadata)
        for item in fields(kind)
    )


@functools.cache
def _read_fields(kind: Any) -> tuple[tuple[tuple[str, str, bool, Decoder], ...], Any]:
    """Return how a class is read: (field, name in JSON, is required, decoder), and its rest.

    Types are taken apart once a class, not once a value: a record has thousands of values.
    """
    hints = _hints(kind)
    plain, others = [], None
    for item in fields(kind):
        decoder = _decoder(hints[item.name])
        if item.metadata.get(_REST):
            others = item.name, decoder
        else:
            plain.append((item.name, _key(item), _is_required(item), decoder))
    return tuple(plain), others


def _decoder(kind: Any) -> Decoder:
    """Return what makes a `kind` of JSON. Equal unions differ in their order, so none is kept."""
    origin = get_origin(kind)
    if kind is object:
        return _as_it_is
    if origin is Annotated:
        base, *limits = get_args(kind)
        return functools.partial(_annotated, _decoder(base), tuple(map(_check, limits)))
    if origin in (Union, types.UnionType):
        return _union(get_args(kind))
    if origin is Literal:
        return functools.partial(_literal, get_args(kind))
    if origin is tuple:
        kinds = get_args(kind)
        length = None if kinds[-1] is Ellipsis else len(kinds)
        return functools.partial(_tuple, _decoder(kinds[0]), length)
    if origin is not None and issubclass(origin, Mapping):
        return functools.partial(_mapping, *map(_decoder, get_args(kind)))
    if is_dataclass(kind):
        return functools.partial(_object, kind)
    return functools.partial(_of, kind)


def _as_it_is(value: object) -> object:
    return value


def _literal(values: tuple[object, ...], value: object) -> object:
    if isinstance(value, bool) or value not in values:
        raise Damaged("", f"{_shown(value)} is none of {', '.join(map(repr, values))}")
    return value


def _tuple(decoder: Decoder, length: int | None, value: object) -> tuple[Any, ...]:
    values = _of(list, value)
    if length is not None and len(values) != length:
        raise Damaged("", f"it has {len(values)} values, not {length}")
    found: list[Any] = []
    for number, item in enumerate(values):
        try:
            found.append(decoder(item))
        except Damaged as error:
            error.lies_in(f"[{number}]")
            raise
    return tuple(found)


def _mapping(of_key: Decoder, of_value: Decoder, value: object) -> dict[Any, Any]:
    found = {}
    for key, item in _of(dict, value).items():
        try:
            name = of_key(key)
            found[name] = of_value(item)
        except Damaged as error:
            error.lies_in(f".{_shown(key)}")
            raise
    return found


def _object(kind: Any, value: object) -> Any:
    left = dict(_of(dict, value))
    plain, others = _read_fields(kind)
    found: dict[str, Any] = {}
    for name, key, is_required, decoder in plain:
        if key in left:
            try:
                found[name] = decoder(left.pop(key))
            except Damaged as error:
                error.lies_in(f".{_shown(key)}")
                raise
        elif is_required:
            raise Damaged("", f"`{key}` is missing")
    if others is not None:
        name, decoder = others
        found[name] = decoder(left)
    elif left:
        raise Damaged("", f"`{_shown(next(iter(left)))}` is not known")
    try:
        return kind(**found)
    except ValueError as error:
        raise Damaged("", str(error)) from error


def _annotated(
    decoder: Decoder, checks: tuple[Callable[[Any], str | None], ...], value: object
) -> Any:
    found = decoder(value)
    for check in checks:
        if problem := check(found):
            raise Damaged("", problem)
    return found


def _check(limit: object) -> Callable[[Any], str | None]:
    """Return what says why a value is not within a limit, None where it is."""
    match limit:
        case Pattern():
            pattern = re.compile(limit.expression)
            return lambda value: (
                None if pattern.fullmatch(value) else f"it is not allowed: {limit.why}"
            )
        case AtLeast():
            return lambda value: (
                f"{_shown(value)} is less than {limit.least}" if value < limit.least else None
            )
    raise TypeError(f"{limit!r} is no limit")


def _union(kinds: tuple[Any, ...]) -> Decoder:
    *others, last = [_decoder(kind) for kind in kinds if kind is not types.NoneType]
    may_lack = types.NoneType in kinds

    def decoder(value: object) -> Any:
        if value is None and may_lack:
            return None
        for other in others:
            try:
                return other(value)
            except Damaged:
                continue
        return last(value)

    return decoder


def _of(kind: type, value: object) -> Any:
    """Return a value that is of a plain kind; a whole number is a number too."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise Damaged("", f"it is {_named(type(value))}, not {_named(kind)}")
    return value


def _named(kind: type) -> str:
    name = _KINDS.get(kind, kind.__name__)
    return _WORDS.get(name) or ("a text" if name == "string" else f"a {name}")


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
