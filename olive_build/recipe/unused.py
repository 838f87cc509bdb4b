"""What a recipe says that nothing uses: budgets, variants, settings of methods, names in passes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from olive_build.recipe.build import TargetBuild
from olive_build.recipe.context import Context
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.model import VARIANT_PATTERN, Recipe, TargetSpec
from olive_build.recipe.passes import all_passes
from olive_build.recipe.quantize import written
from olive_build.recipe.sections import owner_of
from olive_build.recipe.suggest import listed
from olive_build.recipe.tree import KeyPath
from olive_build.recipe.variants import known_variants
from olive_build.targets import target_names


def check_unused(context: Context, builds: Mapping[str, TargetBuild]) -> None:
    """Report budgets of unknown variants; warn of what nothing that is built uses.

    Those are budgets, variants, settings of methods, and names in passes. Warnings are left out
    where a target is broken, since nobody can say what it would build.
    """
    recipe = context.recipe
    all_known = len(builds) == len(recipe.targets)
    # What an owner builds is no variant of the recipe's.
    built = {
        name: set[str]() if owner_of(context, name) else {v.name for v in build.variants}
        for name, build in builds.items()
    }
    everywhere = {name for names in built.values() for name in names} if all_known else None
    _check_built(context, ("verify",), recipe.verify.budgets, everywhere, "no target builds")
    for target, spec in recipe.targets.items():
        where: KeyPath = ("targets", target, "verify")
        budgets = spec.verify.budgets if spec.verify else {}
        _check_built(context, where, budgets, built.get(target), f"'{target}' does not build")
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
    own = {name: build for name, build in builds.items() if not owner_of(context, name)}
    _check_methods(context, own, all_known=all_known)
    _check_names_in_passes(context, built, all_known=all_known)


def _check_built(
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


def _check_methods(context: Context, builds: Mapping[str, TargetBuild], *, all_known: bool) -> None:
    """Warn of `quantize` for targets or components of which no variant is made by its method."""
    recipe = context.recipe
    layers: list[tuple[Recipe | TargetSpec, KeyPath, list[TargetBuild], str]] = [
        (recipe.targets[name], ("targets", name), [build], f"no variant of '{name}'")
        for name, build in builds.items()
    ]
    if all_known and builds:
        layers.append((recipe, (), list(builds.values()), "no variant that is built"))
    for spec, where, its, whose in layers:
        said = {"": spec.quantize} | {name: x.quantize for name, x in spec.components.items()}
        for component, quantize in said.items():
            method = written(quantize).get("method")
            used = _methods(its, component)
            if method is None or method in used:
                continue
            by_itself = ("components", component) if component else ()
            instead = f"; `variants.NAME.{'.'.join(by_itself)}` names a method for it alone"
            context.add(
                Code.UNUSED_SETTING,
                (*where, *by_itself, "quantize"),
                f"`quantize` changes nothing here: {whose} has the method '{method}'"
                + f" for {component}" * bool(component),
                hint="remove it, or name a method that they have" + instead * bool(component),
                notes=(f"they have {listed(sorted(used))}" if used else "all of them stay fp32",),
                key=True,
            )


def _methods(builds: Iterable[TargetBuild], component: str) -> set[str]:
    """Return the methods by which a component is made smaller; of "", all methods of the builds."""
    variants = [variant for build in builds for variant in build.variants]
    # What a variant becomes where the weights turn out to be in convolutions.
    variants += [item.convolutional for item in variants if item.convolutional]
    one = [item.of(component).quantize for item in variants] if component else []
    every = one if component else [method for item in variants for method in item.methods]
    return {method.method for method in every if method}


def _check_names_in_passes(
    context: Context, built: Mapping[str, set[str]], *, all_known: bool
) -> None:
    """Warn of targets that the recipe lacks, and of variants that those of a pass do not build."""
    for spec, path in all_passes(context):
        here = {path[1]} if path[0] == "targets" else set(spec.targets or context.recipe.targets)
        lacking = {
            ("targets", index): f"the recipe has no target '{name}'"
            for index, name in enumerate(spec.targets or ())
            if name in target_names() and name not in context.recipe.targets
        }
        if all_known and path[0] != "variants":
            there = {variant for name in here for variant in built.get(str(name), ())}
            lacking |= {
                ("variants", index): f"no target of this pass builds the variant '{name}'"
                for index, name in enumerate(spec.variants or ())
                if name in known_variants(context) and name not in there
            }
        for at, why in lacking.items():
            message = f"the pass '{spec.name}' is not run for this name: {why}"
            hint = "build it, or remove the name"
            context.add(Code.UNUSED_SETTING, (*path, *at), message, hint=hint)
