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
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.suggest import listed

if TYPE_CHECKING:
    from olive_build.recipe.context import Context, Place
    from olive_build.recipe.fields import Strict
    from olive_build.record.manifest import Manifest
    from olive_build.record.proof import VariantProof
    from olive_build.targets import Provider, Target


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
    def about(cls) -> str:
        """Return what it is for: the first paragraph of its docstring."""
        return " ".join(str(cls.__doc__).partition("\n\n")[0].split())

    @classmethod
    def wins(cls) -> str:
        """Return what it does under a target."""
        return f"Wins over the recipe's `{cls.section}`, field by field."

    @classmethod
    def close_schema(cls, definitions: dict[str, Any]) -> None:
        """Add to the schema's definitions what types do not say, such as bounds of numbers."""

    @classmethod
    def in_recipe(cls, spec: Strict) -> Any:
        """Return what the recipe, or a target of it, gives; None where it gives nothing."""
        return getattr(spec, cls.section)

    @classmethod
    def check(cls, context: Context) -> Context:
        """Report what is wrong with it whatever the target; return the context to go on with."""
        return context

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
        layers = (cls.in_recipe(place.context.recipe), cls.in_recipe(place.spec))
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

    def recorded(self) -> dict[str, Any]:
        """Return what a bundle's manifest keeps of it, by name: what the family's steps know."""
        return self.options()

    def patterns(self) -> Iterator[str]:
        """Yield the names and shell patterns of modules and parameters that it has."""
        yield from ()

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


@dataclass(frozen=True)
class Opsets:
    """The lowest and highest opset of what is built, and why; `whose` completes "that ..."."""

    lowest: int
    lowest_because: str
    highest: int | None
    highest_because: str
    whose: str


class Owner(Section):
    """A section that decides what is built of a target, in place of variants for inference."""

    opsets: ClassVar[Opsets]
    room: ClassVar[str]
    """The room ("olive_build.training") of what plans it (`planning`), and makes bundles of it
    (`bundling`)."""

    @classmethod
    def resolved(cls, place: Place, compose: str) -> Self | None:
        """Return None: where it says something, all is in its `parts`."""
        return None

    @classmethod
    def owns(cls, context: Context, target: str) -> bool:
        """Return whether the recipe or one of its targets has the section for a target."""
        layers = (context.recipe, context.recipe.targets[target])
        return any(cls.in_recipe(spec) is not None for spec in layers)

    @classmethod
    def is_lost(cls, context: Context, target: str) -> bool:
        """Return whether it is no map for a target, so that nobody knows what is meant."""
        return bool({(cls.section,), ("targets", target, cls.section)} & context.dropped)

    @classmethod
    def provider(cls, context: Context, target: Target, chosen: Provider) -> Provider | None:
        """Return the provider that it builds for; None where the target has none.

        Reports that, and another provider that the target's `provider` names.
        """
        return chosen

    @classmethod
    def is_in(cls, manifest: Manifest) -> bool:
        """Return whether it has decided what a bundle holds.

        It is asked of every bundle, without a look into its room.
        """
        raise NotImplementedError

    @classmethod
    def proves(cls, proof: VariantProof) -> bool:
        """Return whether a variant was proved for what it has decided."""
        raise NotImplementedError

    @classmethod
    def parts(cls, place: Place) -> dict[str, Any]:
        """Return the fields of a TargetBuild that it decides, its own value in `sections`."""
        raise NotImplementedError


def sections() -> tuple[type[Section], ...]:
    """Return every section, in the order of the files."""
    return rooms.kinds("recipe.sections", Section)


def owners() -> list[type[Owner]]:
    """Return the sections that decide what is built of a target."""
    return [kind for kind in sections() if issubclass(kind, Owner)]


def owner_of(context: Context, target: str) -> type[Owner] | None:
    """Return the section that decides what is built of a target, if any does."""
    return next((kind for kind in owners() if kind.owns(context, target)), None)
