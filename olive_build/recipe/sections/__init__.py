"""The sections of a recipe that some models have and others do not, one a file, found by walking.

A section is a frozen dataclass of the kind `Section`: what the recipe and a target write of it, as
one value with nothing left to decide. Its fields are `knob`s, so that the recipe's models, its
schema and its docs are made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from olive_build import rooms
from olive_build.families.registry import FAMILIES, Family
from olive_build.recipe.codes import Code
from olive_build.recipe.suggest import listed

if TYPE_CHECKING:
    from olive_build.recipe.fields import Strict
    from olive_build.recipe.place import Place


@dataclass(frozen=True)
class Section:
    """One section, resolved for a target. `section` is its key in a recipe."""

    section: ClassVar[str]

    @classmethod
    def specs(cls) -> Mapping[str, type[Strict]]:
        """Return the models that it is read by, by their headings in the docs; its own first."""
        from olive_build.recipe.fields import spec_of

        # mypy takes a class of the kind `Section` for one without a hash.
        return {cls.section: spec_of(cls, needed=False)}  # type: ignore[arg-type]

    @classmethod
    def speaks_to(cls, family: Family) -> bool:
        """Return whether it says something to models of a family."""
        return cls.section in family.options

    @classmethod
    def resolved(cls, place: Place, compose: str) -> Self | None:
        """Return what is asked of a target's model: its own fields, else the recipe's, or defaults.

        None where it says nothing to the family; where the recipe has it all the same, that is
        reported, and so is what the target could not keep to.
        """
        if not cls.speaks_to(place.family):
            cls._report_other_family(place)
            return None
        layers = (getattr(place.context.recipe, cls.section), getattr(place.spec, cls.section))
        given: dict[str, Any] = {}
        for layer in layers:
            given |= layer.model_dump(exclude_none=True) if layer is not None else {}
        return cls(**cls.checked(place, compose, given))

    @classmethod
    def checked(cls, place: Place, compose: str, given: dict[str, Any]) -> dict[str, Any]:
        """Report what is wrong with the fields that are given; return them, filled further."""
        return given

    def options(self) -> dict[str, Any]:
        """Return what the family's steps need to know of it, by name; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def _report_other_family(cls, place: Place) -> None:
        path = place.where(cls.section)
        if not (place.context.written(path) and path[-1] == cls.section):
            return
        able = [name for name, spec in FAMILIES.items() if cls.speaks_to(spec)]
        place.add(
            Code.CANNOT_RUN,
            path,
            f"`{cls.section}` says nothing to models of {place.family.name}",
            hint="remove it",
            notes=(f"it is for {listed(able)}",),
        )


def sections() -> Iterator[type[Section]]:
    """Yield every section, in the order of the files."""
    for name in rooms.names("recipe.sections"):
        module = rooms.module("recipe.sections", name)
        for kind in vars(module).values():
            here = isinstance(kind, type) and kind.__module__ == module.__name__
            if here and issubclass(kind, Section):
                yield kind
