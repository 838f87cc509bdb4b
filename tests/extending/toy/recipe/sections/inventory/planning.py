"""A toy: the plan of a bundle with an inventory has one node more."""

from __future__ import annotations

from olive_build.plan.planner import TargetPlanner
from olive_build.recipe.sections.inventory import Inventory
from olive_build.steps.list_files import ListFiles


class Planner(TargetPlanner):
    """Plans the list beside the variants."""

    def beside(self) -> dict[str, str]:
        section = self.build.section(Inventory)
        assert section is not None
        step = ListFiles(section.sizes)
        return {"list": self.add(step, {"source": self.source}, None, "inventory")}
