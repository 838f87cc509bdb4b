"""From the words of a command line to resolved builds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.plan.types import Request


@dataclass(frozen=True)
class Selection:
    """What a command line says of what is built; without `targets` all of the recipes' are.

    `recipe` are names in the folder `recipes`, or paths; `overrides` are KEY=VALUE.
    """

    recipe: tuple[str, ...]
    recipes: Path
    targets: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    source: str | None = None
    smoke: bool = False


def select(selected: Selection) -> list[Request]:
    """Return the builds of the named recipes, all targets or those chosen.

    Raises UsageError for a recipe or target that does not exist, RecipeError for a bad recipe.
    """
    from olive_build.recipe.find import find_recipe
    from olive_build.recipe.load import load_recipe
    from olive_build.recipe.resolve import resolve
    from olive_build.recipe.suggest import did_you_mean

    requests: list[Request] = []
    offered: set[str] = set()
    for name in dict.fromkeys(selected.recipe):
        path = find_recipe(name, selected.recipes)
        loaded = load_recipe(path, overrides=selected.overrides)
        names = list(loaded.recipe.targets)
        offered.update(names)
        for target in names:
            if not selected.targets or target in selected.targets:
                build = resolve(loaded, target, source=selected.source)
                requests.append(Request(build, path.parent))
    unknown = [target for target in selected.targets if target not in offered]
    if unknown:
        raise UsageError(
            f"no recipe that was named has a target '{unknown[0]}'",
            why=f"they have {', '.join(sorted(offered))}",
            hint=did_you_mean(unknown[0], offered, "choose one of them, or leave out --target"),
        )
    return requests
