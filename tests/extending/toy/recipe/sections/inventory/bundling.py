"""A toy: a bundle with an inventory has one file more, and its README tells it."""

from __future__ import annotations

from olive_build.bundle.purpose import Placed, Purpose
from olive_build.plan.types import BundlePlan
from olive_build.recipe.sections.inventory import FILE
from olive_build.record.manifest import Manifest


class WithInventory(Purpose):
    """To be run, and to say what it was made of."""

    def placed(self, bundle: BundlePlan) -> dict[str, Placed]:
        return {"inventory": Placed(FILE, bundle.beside["list"], FILE)}

    def told(self, manifest: Manifest) -> list[str]:
        return [f"`{FILE}` lists the model's files.", ""]


PURPOSE = WithInventory()
