"""The models that a recipe is read by: strict, and of dataclasses where those say the fields."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model


class Strict(BaseModel):
    """Base of all that a recipe may hold: unknown fields and near-miss types are errors."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False
    )


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def spec_of(kind: type, *, needed: bool = True) -> type[Strict]:
    """Return the model of a dataclass whose fields are `knob`s: `Fp16` becomes `Fp16Spec`.

    A field `method` comes first and must be given, since it tells the maps of a union apart. Where
    they are not `needed`, fields are None where nothing is given, so that others can be laid under.
    """
    hints = _hints(kind)
    read: dict[str, Any] = {}
    for item in sorted(fields(kind), key=lambda item: item.name != "method"):
        hint, default = _read_as(hints[item.name]), item.default
        if not needed:
            hint, default = hint | None, None
        elif default is MISSING or item.name == "method":
            default = ...
        read[item.name] = (hint, Field(default, description=item.metadata["description"]))
    name = f"{kind.__name__}Spec"
    return create_model(name, __base__=Strict, __module__=__name__, __doc__=kind.__doc__, **read)


def _read_as(hint: Any) -> Any:
    """Return a type with models in the place of dataclasses."""
    if get_origin(hint) is tuple:
        return tuple[tuple(_read_as(item) for item in get_args(hint))]  # type: ignore[misc]
    return spec_of(hint) if is_dataclass(hint) and isinstance(hint, type) else hint


def made(kind: type, values: dict[str, Any]) -> Any:
    """Return a dataclass of values that its model read; what they leave out has its default."""
    hints = _hints(kind)
    return kind(**{name: _made(hints[name], value) for name, value in values.items()})


def _made(hint: Any, value: Any) -> Any:
    if isinstance(value, tuple) and get_origin(hint) is tuple:
        return tuple(_made(get_args(hint)[0], item) for item in value)
    return made(hint, value) if isinstance(value, dict) else value
