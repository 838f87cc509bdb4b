"""Fixed shapes: a size for each symbolic axis of a family's graphs, where a target needs it."""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.families.registry import Family
from olive_build.recipe.context import Place
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.suggest import did_you_mean, listed
from olive_build.recipe.tree import KeyPath

LARGEST_SIZE = 65_536
# Seventeen minutes of sound at 16 kHz.
LARGEST_OF_AXIS: Mapping[str, int] = {"samples": 2**24}


def shapes_for(place: Place, family: Family, component: str = "") -> tuple[tuple[str, int], ...]:
    """Return the axes with their sizes, in the family's order; () where all are free.

    Of a `component`, what is said of it alone.

    Reports axes that the family does not have or that lack a size, sizes that none can have, and
    a provider that takes no symbolic axes.
    """
    given, path = place.said("export", "shapes", component=component)
    if not given:
        if not component:
            _check_provider(place, family)
        return ()
    known = [axis for axis, _ in family.axes]
    for axis, size in given.items():
        largest = LARGEST_OF_AXIS.get(axis, LARGEST_SIZE)
        if axis not in known:
            message = f"the graphs of {family.name} have no axis '{axis}'"
            hint = did_you_mean(axis, known, f"its axes are {listed(known)}")
            place.add(Code.UNKNOWN_NAME, (*path, axis), message, hint=hint)
        elif not 1 <= size <= largest:
            message = f"no axis can have the size {size}"
            hint = f"use 1 to {largest}"
            place.add(Code.BAD_VALUE, (*path, axis), message, hint=hint)
    missing = [axis for axis in known if axis not in given]
    if missing:
        place.add(
            Code.MISSING_FIELD,
            path,
            f"the axis '{missing[0]}' has no size, so the graph would not have fixed shapes",
            hint=f"write `{written_shapes(family, given)}`",
        )
    return tuple((axis, given[axis]) for axis in known if axis in given)


def given_shapes(place: Place) -> Mapping[str, int]:
    """Return the sizes that the target or else the recipe gives."""
    return place.said("export", "shapes")[0] or {}


def written_shapes(family: Family, given: Mapping[str, int]) -> str:
    """Return the field with a size for every axis, as a recipe writes it."""
    sizes = {axis: given.get(axis, size) for axis, size in family.axes}
    return f"shapes: {{{', '.join(f'{axis}: {size}' for axis, size in sizes.items())}}}"


def _check_provider(place: Place, family: Family) -> None:
    provider, target = place.provider, place.target
    here: KeyPath = ("targets", target.name, "export", "shapes")
    # What is written and could not be read is reported where it was read.
    written = place.context.written(here) or place.context.written(here[2:])
    if not provider.needs_fixed_shapes or written:
        return
    place.add(
        Code.CANNOT_RUN,
        place.where("export", "shapes"),
        f"the provider '{provider.name}' needs fixed shapes, and '{target.name}' has none",
        hint=f"add `export: {{{written_shapes(family, {})}}}`",
        notes=(provider.shapes_because,),
    )
