"""`quantize`: what a recipe may write of each method, and whose settings win."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from olive_build.methods import Method, methods
from olive_build.recipe.fields import Strict, made, spec_of

# mypy takes a class of the kind `Method` for one without a hash.
METHODS: dict[str, type[Strict]] = {
    name: spec_of(kind)  # type: ignore[arg-type]
    for name, kind in methods().items()
}
if TYPE_CHECKING:
    QuantizeSpec = Strict
else:
    QuantizeSpec = Annotated[Union[tuple(METHODS.values())], Field(discriminator="method")]  # noqa: UP007


def written(spec: Strict | None) -> dict[str, Any]:
    """Return the fields that the recipe itself gives."""
    return spec.model_dump(exclude_unset=True) if spec is not None else {}


def layered(layers: list[dict[str, Any]], method: str | None) -> Method | None:
    """Return the method's settings from `layers`, later ones winning; others' are passed over."""
    if method is None:
        return None
    given: dict[str, Any] = {}
    for layer in layers:
        if layer.get("method") == method:
            given |= layer
    found: Method = made(methods()[method], {**given, "method": method})
    return found


def unwritten(layers: list[dict[str, Any]], quantize: Method | None) -> tuple[str, ...]:
    """Return the fields of a method that none of the recipe's own `layers` gives."""
    if quantize is None:
        return ()
    own = [layer for layer in layers if layer.get("method") == quantize.method]
    return tuple(f.name for f in fields(quantize) if not any(f.name in layer for layer in own))
