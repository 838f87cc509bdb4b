"""One target of one recipe, while it is resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from olive_build.families.registry import Family
from olive_build.recipe.codes import Code
from olive_build.recipe.context import Context
from olive_build.recipe.sections import Owner
from olive_build.recipe.tree import KeyPath
from olive_build.targets import Provider, Target

if TYPE_CHECKING:
    from olive_build.recipe.model import TargetSpec


@dataclass(frozen=True)
class Place:
    """What a target's settings are made of: the recipe's, its own, and the platform's facts.

    `owner` is the section that decides what is built, in place of variants for inference.
    """

    context: Context
    spec: TargetSpec
    target: Target
    provider: Provider
    family: Family
    owner: type[Owner] | None = None

    def where(self, *field: str) -> KeyPath:
        """Return where a setting is written: under the target or the recipe; else the target."""
        own: KeyPath = ("targets", self.target.name, *field)
        if self.context.written(own):
            return own
        return field if self.context.written(field) else own[:2]

    def said(self, *field: str, component: str = "") -> tuple[Any, KeyPath]:
        """Return a setting and where it is written: the target's, else the recipe's; None if none.

        Of a `component`, only what is said of it alone.
        """
        path = ("components", component, *field) if component else field
        recipe, own = self.context.recipe, ("targets", self.target.name)
        layers: tuple[tuple[Any, KeyPath], ...] = ((self.spec, own), (recipe, ()))
        for value, where in layers:
            for key in path:
                value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
            if value is not None:
                return value, (*where, *path)
        return None, self.where(*path)

    def add(
        self, code: Code, path: KeyPath, message: str, *, hint: str, notes: Sequence[str] = ()
    ) -> None:
        """Report something about this target."""
        at_name = path == ("targets", self.target.name)
        self.context.add(code, path, message, hint=hint, notes=notes, key=at_name)
