"""What a recipe writes and no target uses: most often a slip."""

from __future__ import annotations

import re
from collections.abc import Mapping

from olive_build.recipe.build import TargetBuild
from olive_build.recipe.codes import Code
from olive_build.recipe.context import Context
from olive_build.recipe.model import VARIANT_PATTERN
from olive_build.recipe.sections import owner_of
from olive_build.recipe.suggest import listed
from olive_build.recipe.tree import KeyPath
from olive_build.recipe.variants import known_variants


def check_unused(context: Context, builds: Mapping[str, TargetBuild]) -> None:
    """Report budgets of unknown variants; warn of budgets and variants that no target builds.

    The warnings are left out where a target is broken, since nobody can say what it would build.
    """
    recipe = context.recipe
    all_known = len(builds) == len(recipe.targets)
    # What an owner builds is no variant of the recipe's.
    built = {
        name: set[str]() if owner_of(context, name) else {v.name for v in build.variants}
        for name, build in builds.items()
    }
    everywhere = {name for names in built.values() for name in names} if all_known else None
    _check_budgets(context, ("verify",), recipe.verify.budgets, everywhere, "no target builds")
    for target, spec in recipe.targets.items():
        where: KeyPath = ("targets", target, "verify")
        budgets = spec.verify.budgets if spec.verify else {}
        _check_budgets(context, where, budgets, built.get(target), f"'{target}' does not build")
    for name in recipe.variants:
        if everywhere is None or name in everywhere or not re.fullmatch(VARIANT_PATTERN, name):
            continue
        context.add(
            Code.UNUSED_VARIANT,
            ("variants", name),
            f"no target builds the variant '{name}'",
            hint="name it in a target's `variants`, or remove it",
            notes=(f"built: {listed(sorted(everywhere))}",),
            key=True,
        )


def _check_budgets(
    context: Context,
    where: KeyPath,
    budgets: Mapping[str, object],
    built: set[str] | None,
    whose: str,
) -> None:
    for name in budgets:
        path: KeyPath = (*where, "budgets", name)
        if not context.known("variant", name, known_variants(context), path, key=True):
            continue
        broken = context.written(("variants", name)) and name not in context.recipe.variants
        if built is not None and name not in built and not broken:
            context.add(
                Code.UNUSED_BUDGET,
                path,
                f"the budgets of '{name}' hold nothing: {whose} that variant",
                hint="build the variant, or remove its budgets",
                notes=(f"built: {listed(sorted(built))}",),
                key=True,
            )
