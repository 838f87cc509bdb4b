"""From the words of a command line to resolved builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.plan.types import Request


def select(
    *,
    recipe: Sequence[str],
    recipes: Path,
    targets: Sequence[str] = (),
    overrides: Sequence[str] = (),
    source: str | None = None,
    **_: Any,
) -> list[Request]:
    """Return the builds of the named recipes, all targets or those chosen.

    Raises UsageError for a recipe or target that does not exist, RecipeError for a bad recipe.
    """
    from olive_build.recipe.find import find_recipe
    from olive_build.recipe.load import load_recipe
    from olive_build.recipe.resolve import resolve
    from olive_build.recipe.suggest import did_you_mean

    requests: list[Request] = []
    offered: set[str] = set()
    for name in dict.fromkeys(recipe):
        path = find_recipe(name, recipes)
        loaded = load_recipe(path, overrides=overrides)
        names = list(loaded.recipe.targets)
        offered.update(names)
        for target in names:
            if not targets or target in targets:
                build = resolve(loaded, target, source=source)
                requests.append(Request(build, path.parent))
    unknown = [target for target in targets if target not in offered]
    if unknown:
        raise UsageError(
            f"no recipe that was named has a target '{unknown[0]}'",
            why=f"they have {', '.join(sorted(offered))}",
            hint=did_you_mean(unknown[0], offered, "choose one of them, or leave out --target"),
        )
    return requests
