"""The user's own recipe of the name that a bundle says it was built from."""

from __future__ import annotations

from pathlib import Path

from olive_build.engine.store import Store
from olive_build.errors import UsageError
from olive_build.plan.types import Plan
from olive_build.prepare import plan_builds
from olive_build.recipe.find import recipe_names
from olive_build.select import Selection, select


def plan_of_bundle(
    name: str,
    target: str,
    recipes: Path,
    store: Store,
    *,
    smoke: bool,
    model_roots: tuple[Path, ...] = (),
) -> Plan:
    """Return the plan of that recipe for one target.

    It is looked up among the user's recipes: what a bundle names is never opened as a path, and
    nothing that a bundle brings is fetched or run. Raises UsageError where the recipe is not there.
    """
    if name not in recipe_names(recipes):
        raise UsageError(
            f"the recipe '{name}', which the bundle names, is not among yours",
            where=str(recipes),
            why="it says for which model inputs are made; what a bundle names is never opened",
            hint=f"name the folder of your own {name}.yaml with --recipes",
        )
    requests = select(Selection((name,), recipes, targets=(target,), model_roots=model_roots))
    return plan_builds(requests, store, smoke=smoke, report=lambda _: None)
