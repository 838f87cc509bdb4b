"""A toy: a section that decides what is built: the fp32 model, and a list of the model's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from olive_build.knobs import knob
from olive_build.recipe.build import Budgets, DataSource, Variant
from olive_build.recipe.sections import Opsets, Owner

if TYPE_CHECKING:
    from olive_build.families.registry import Family
    from olive_build.recipe.context import Place
    from olive_build.record.manifest import Manifest

FILE = "inventory.json"


@dataclass(frozen=True)
class Inventory(Owner):
    """A list of the model's files beside the model; for all families."""

    section: ClassVar[str] = "inventory"
    room: ClassVar[str] = "olive_build.recipe.sections.inventory"
    opsets: ClassVar[Opsets] = Opsets(18, "", None, "", "is listed")

    sizes: bool = knob("Whether it has their bytes. Left out, false.", False)

    @classmethod
    def speaks_to(cls, family: Family) -> bool:
        return True

    @classmethod
    def is_in(cls, manifest: Manifest) -> bool:
        return FILE in manifest.digests

    @classmethod
    def proves(cls, proof: object) -> bool:
        return False

    @classmethod
    def parts(cls, place: Place) -> dict[str, Any]:
        given = cls.in_recipe(place.context.recipe)
        return {
            "attention": "plain",
            "compose": "none",
            "variants": (Variant("plain", "fp32", None, "gated", None, Budgets()),),
            "passes": (),
            "data": DataSource("sentences", None),
            "calibration": DataSource("calibration-sentences", None),
            "metric": "cosine",
            "timing": False,
            "sections": (cls(**given.model_dump(exclude_none=True)),),
        }

    def options(self) -> dict[str, Any]:
        return {}
