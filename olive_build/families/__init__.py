"""The kinds of model that can be built, as data: what a recipe may ask of each.

A family is a folder here; this registry is what reading a recipe needs of it, without importing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType


@dataclass(frozen=True)
class FamilySpec:
    """What a recipe may name for models of this family.

    `tasks` are the Hugging Face tasks that map to it, `metrics` and `data` what `verify` may use
    (the first of each is the default), `components` the graphs that such a model has.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    data: tuple[str, ...]
    components: tuple[str, ...]
    description: str


FAMILIES: Mapping[str, FamilySpec] = {
    "sentence-embedding": FamilySpec(
        name="sentence-embedding",
        tasks=("feature-extraction", "sentence-similarity"),
        metrics=("cosine",),
        data=("sentences",),
        components=("model",),
        description="Text encoders that give one vector a text, as sentence-transformers saves",
    ),
}


def family_of_task(task: str) -> FamilySpec | None:
    """Return the family that serves a Hugging Face task, or None where none does."""
    return next((family for family in FAMILIES.values() if task in family.tasks), None)


def family_module(family: str, room: str) -> ModuleType:
    """Return a family's module: `spec` (light), `torch_side`, `compose` or `miniature` (heavy)."""
    folder = FAMILIES[family].name.replace("-", "_")
    return import_module(f"olive_build.families.{folder}.{room}")
