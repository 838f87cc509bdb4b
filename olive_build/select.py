"""From the words of a command line to resolved builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import OliveBuildError, UsageError
from olive_build.plan.types import Request


@dataclass(frozen=True)
class Selection:
    """What a command line says of what is built; without `targets` all of the recipes' are.

    `recipe` are names in the folder `recipes`, or paths; `overrides` are KEY=VALUE.
    Below `model_roots` models may lie that are outside of the recipe's repository.
    """

    recipe: tuple[str, ...]
    recipes: Path
    targets: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    source: str | None = None
    smoke: bool = False
    model_roots: tuple[Path, ...] = ()


def select(
    selected: Selection, left_out: Callable[[str, OliveBuildError], None] | None = None
) -> list[Request]:
    """Return the builds of the named recipes, all targets or those chosen.

    Raises UsageError for a recipe or target that does not exist, RecipeError for a bad recipe;
    with `left_out`, that is called with a recipe's name and its error, and the others are returned.
    """
    from olive_build.recipe.find import find_recipe
    from olive_build.recipe.load import load_recipe
    from olive_build.recipe.resolve import resolve
    from olive_build.recipe.suggest import did_you_mean

    requests: list[Request] = []
    offered: set[str] = set()
    bad: list[str] = []
    for name in dict.fromkeys(selected.recipe):
        try:
            path = find_recipe(name, selected.recipes)
            loaded = load_recipe(
                path, overrides=selected.overrides, model_roots=selected.model_roots
            )
            names = list(loaded.recipe.targets)
            chosen = [item for item in names if not selected.targets or item in selected.targets]
            builds = [resolve(loaded, target, source=selected.source) for target in chosen]
        except OliveBuildError as error:
            if left_out is None:
                raise
            left_out(name, error)
            bad.append(name)
            continue
        offered.update(names)
        requests += [Request(build, path.parent) for build in builds]
    unknown = [target for target in selected.targets if target not in offered]
    # A recipe that was left out may have it.
    if unknown and offered and not (bad and requests):
        raise UsageError(
            f"no recipe that was named has a target '{unknown[0]}'",
            why=f"they have {', '.join(sorted(offered))}",
            hint=did_you_mean(unknown[0], offered, "choose one of them, or leave out --target"),
        )
    return requests
