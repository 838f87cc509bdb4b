"""Checks of a recipe as a whole: its name, its model, its sources, the names that it uses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from olive_build.families.registry import FAMILIES, Family, family_of_task
from olive_build.recipe import model
from olive_build.recipe.budgets import BudgetsSpec, contradictions, flat
from olive_build.recipe.context import Context
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.measuring import check_figures, check_measuring
from olive_build.recipe.suggest import listed
from olive_build.recipe.tree import KeyPath
from olive_build.recipe.variants import FOR_SIZE

ADAPTER = "adapter_config.json"
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def check_recipe(context: Context) -> None:
    """Report all that is wrong with the recipe whatever it is built for."""
    _check_head(context)
    _check_components(context, family_of(context))
    _check_sources(context)
    _check_variants(context)
    for where in (("verify",), *(("targets", t, "verify") for t in context.recipe.targets)):
        _check_budgets(context, where)


def _check_head(context: Context) -> None:
    recipe, stem = context.recipe, context.path.stem
    if recipe.recipe != model.VERSION:
        context.add(
            Code.WRONG_VERSION,
            ("recipe",),
            f"this version builds recipes of language version {model.VERSION}, not {recipe.recipe}",
            hint=f"write `recipe: {model.VERSION}`, or use the release that the recipe is for",
        )
    if not re.fullmatch(model.NAME_PATTERN, recipe.name):
        message, hint = _no_name(recipe.name, "recipe", "'.'")
        notes = ("it becomes a folder, a make target and part of addresses",)
        context.add(Code.BAD_VALUE, ("name",), message, hint=hint, notes=notes)
    elif recipe.name != stem:
        message = f"the name '{recipe.name}' differs from the file's, '{stem}'"
        hint = f"write `name: {stem}`, or rename the file"
        notes = ("a recipe is found by its file and published by its name",)
        context.add(Code.NAME_MISMATCH, ("name",), message, hint=hint, notes=notes)
    if not recipe.description.strip() or "\n" in recipe.description.strip():
        message, hint = "the description is not one line", "say in one line what it is good for"
        context.add(Code.BAD_VALUE, ("description",), message, hint=hint)
    if not recipe.targets:
        hint = "add at least one, such as `desktop: {}`"
        message = "the recipe names no target, so nothing would be built"
        context.add(Code.NO_TARGETS, ("targets",), message, hint=hint, key=True)


def _no_name(name: str, of: str, sign: str) -> tuple[str, str]:
    """Return what is wrong with a name, and what to write; `sign` is allowed beside '-'."""
    if len(name) > model.LONGEST_NAME:
        message = f"the {of}'s name has {len(name)} characters"
        return message, f"use at most {model.LONGEST_NAME}"
    hint = f"use lower-case letters, digits, {sign} and '-', beginning with a letter or digit"
    return f"'{name}' is no name of a {of}", hint


def family_of(context: Context) -> Family | None:
    """Return the family of the recipe's model; report what keeps it from having just one."""
    family, task = context.recipe.model.family, context.recipe.model.task
    here: KeyPath = ("model",)
    if family is not None and task is not None:
        context.add(
            Code.FAMILY_OR_TASK,
            (*here, "task"),
            "the model has both a family and a task",
            hint="keep one of the two",
            notes=("a task names its family, so the other could only repeat or contradict it",),
            key=True,
            also=((*here, "family"), "the family"),
        )
        return None
    if family is None and task is None:
        hint = f"add `family:` with one of {listed(FAMILIES)}"
        message = "the model has neither a family nor a task"
        notes = ("one of them says how the model is exported and composed",)
        if not any(gone in context.dropped for gone in ((*here, "family"), (*here, "task"))):
            context.add(Code.FAMILY_OR_TASK, here, message, hint=hint, notes=notes, key=True)
        return None
    if family is not None:
        context.known("family", family, tuple(FAMILIES), (*here, "family"), key=False)
        return FAMILIES.get(family)
    assert task is not None
    served = tuple(sorted(t for spec in FAMILIES.values() for t in spec.tasks))
    context.known("task", task, served, (*here, "task"), key=False)
    return family_of_task(task)


def _check_sources(context: Context) -> None:
    spec = context.recipe.model
    here: KeyPath = ("model", "sources")
    nodes = {name: context.tree.find((*here, name)) for name in ("package", "hub", "path")}
    given = [name for name, node in nodes.items() if node is not None and node.value is not None]
    if spec.source not in given:
        context.add(
            Code.NOT_PINNED,
            ("model", "source"),
            f"the source '{spec.source}' is not given",
            hint=f"add `{spec.source}:` to `sources`",
            notes=(f"given: {listed(given)}" if given else "none is given",),
        )
    if spec.sources.package:
        _check_package(context, spec.sources.package, (*here, "package"))
    if spec.sources.hub:
        _check_hub(context, spec.sources.hub, (*here, "hub"))
    if spec.sources.path:
        _check_weights(context, spec.sources.path.folder, (*here, "path", "folder"))
    if spec.adapter:
        _check_adapter(context, spec.adapter, ("model", "adapter"))


def _check_adapter(context: Context, adapter: model.AdapterSpec, here: KeyPath) -> None:
    if adapter.hub and adapter.path:
        message, hint = "the adapter is given twice", "keep `hub` or `path`"
        context.add(Code.CONFLICT, here, message, hint=hint, key=True)
    elif not (adapter.hub or adapter.path) and not context.dropped:
        message, hint = "no place of the adapter is given", "add `hub:` or `path:` to `adapter`"
        context.add(Code.NOT_PINNED, here, message, hint=hint, key=True)
    if adapter.hub:
        _check_repository(context, adapter.hub, (*here, "hub"))
    if adapter.path:
        _check_weights(context, adapter.path.folder, (*here, "path", "folder"), ADAPTER)


def _check_package(context: Context, package: model.PackageSpec, here: KeyPath) -> None:
    moving = ("another wheel could come tomorrow, and with it other bundles from one recipe",)
    if not re.fullmatch(model.PACKAGE_PATTERN, package.name):
        message = f"'{package.name}' is no name of a package"
        hint = "write the name alone, without a version or an extra"
        context.add(Code.BAD_VALUE, (*here, "name"), message, hint=hint)
    if not re.fullmatch(model.VERSION_PATTERN, package.version):
        message = f"'{package.version}' is not one exact version"
        hint = "write the version alone, such as 0.1.0"
        context.add(Code.NOT_PINNED, (*here, "version"), message, hint=hint, notes=moving)
    if not re.fullmatch(model.SHA256_PATTERN, package.sha256):
        message = f"the sha256 is not 64 lower-case hex digits ({len(package.sha256)} characters)"
        hint = "take it from the wheel's page on PyPI, or `sha256sum` the wheel"
        notes = ("a download is compared with it before it is opened",)
        context.add(Code.NOT_PINNED, (*here, "sha256"), message, hint=hint, notes=notes)
    parts = package.folder.split("/")
    if "\\" in package.folder or ".." in parts or "" in parts:
        message = f"'{package.folder}' is no folder inside the wheel"
        hint = "give it from the wheel's root, with forward slashes, such as my_package/model"
        context.add(Code.BAD_PATH, (*here, "folder"), message, hint=hint)


def _check_hub(context: Context, hub: model.HubSpec, here: KeyPath) -> None:
    _check_repository(context, hub, here)
    if hub.weights is not None and not re.fullmatch(model.PICKLE_PATTERN, hub.weights):
        message = f"'{hub.weights}' is no file of pickled weights"
        hint = "write the file's name alone, such as pytorch_model.bin"
        context.add(Code.BAD_PATH, (*here, "weights"), message, hint=hint)


def _check_repository(
    context: Context, hub: model.HubSpec | model.AdapterHubSpec, here: KeyPath
) -> None:
    if not re.fullmatch(model.REPO_PATTERN, hub.repo):
        message = f"'{hub.repo}' is no repository of the hub"
        context.add(Code.BAD_VALUE, (*here, "repo"), message, hint="write owner/name")
    if re.fullmatch(model.COMMIT_PATTERN, hub.revision):
        return
    is_hex = re.fullmatch(r"[0-9a-fA-F]{4,}", hub.revision) is not None
    kind = f"no full commit ({len(hub.revision)} characters)" if is_hex else "a branch or tag"
    why = "another commit can come to share it" if is_hex else "it moves when its owner pushes"
    context.add(
        Code.NOT_PINNED,
        (*here, "revision"),
        f"the revision '{hub.revision}' is {kind}",
        hint="write all 40 lower-case hex digits of a commit, from the model's history on the hub",
        notes=(f"{why}, and then one recipe would build two models",),
    )


def _check_weights(context: Context, text: str, here: KeyPath, config: str = "config.json") -> None:
    folder = context.model_folder(text, here)
    if folder is None:
        return
    if not folder.is_dir():
        message, hint = f"there is no folder '{text}'", f"give the folder that has {config}"
        context.add(Code.BAD_PATH, here, message, hint=hint)
        return
    pickled = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLED)
    if pickled and not any(folder.glob("*.safetensors")):
        context.add(
            Code.PICKLED_WEIGHTS,
            here,
            f"the weights in '{text}' are pickled: {listed(pickled)}",
            hint="save them as safetensors: `model.save_pretrained(folder)`",
            notes=("loading a pickle runs whatever code its author put into it",),
        )


def _check_components(context: Context, family: Family | None) -> None:
    """Report what is said of components that models of the family do not have."""
    if family is None:
        return
    recipe = context.recipe
    layers: dict[KeyPath, Iterable[str]] = {(): recipe.components}
    layers |= {("variants", name): item.components for name, item in recipe.variants.items()}
    layers |= {("targets", name): item.components for name, item in recipe.targets.items()}
    for where, names in layers.items():
        for name in names:
            path: KeyPath = (*where, "components", name)
            context.known("component", name, family.components, path, key=True)


def _check_variants(context: Context) -> None:
    for name, variant in context.recipe.variants.items():
        here: KeyPath = ("variants", name)
        if not re.fullmatch(model.VARIANT_PATTERN, name):
            message, hint = _no_name(name, "variant", "'_'")
            notes = ("it becomes the ending of a file's name",)
            context.add(Code.BAD_VARIANT, here, message, hint=hint, notes=notes, key=True)
        because = (variant.because or "").strip()
        has_reason = name in FOR_SIZE  # the built-in one comes with a reason
        if variant.speed == "any" and not because and not has_reason:
            message = "`speed: any` says no reason"
            hint = "add `because:`, such as: it is there for its download size"
            notes = ("it lifts the gate on latency, and the reason is printed in reports",)
            context.add(Code.MISSING_FIELD, (*here, "speed"), message, hint=hint, notes=notes)
        elif because and variant.speed != "any" and not (has_reason and variant.speed is None):
            message = "`because` gives the reason of `speed: any`, which is not set"
            context.add(
                Code.CONFLICT, (*here, "because"), message, hint="add `speed: any`, or remove it"
            )


def _check_budgets(context: Context, where: KeyPath) -> None:
    spec = context.recipe
    verify = spec.verify if where == ("verify",) else spec.targets[str(where[1])].verify
    named: dict[tuple[str, ...], BudgetsSpec] = {}
    for name, budgets in verify.budgets.items() if verify else ():
        named["budgets", name] = budgets
    if verify and verify.every_variant:
        named["every_variant",] = verify.every_variant
    for path, budgets in named.items():
        given = flat(budgets.model_dump(exclude_unset=True))
        whose = f"'{path[-1]}'" if len(path) > 1 else "every variant"
        check_figures(context, (*where, *path), tuple(given))
        for key, why in contradictions(given):
            context.add(
                Code.BUDGET_CONTRADICTION,
                (*where, *path, *key.split(".")),
                f"the budget '{key}: {given[key]:g}' of {whose} cannot be meant",
                hint="correct one of the two" if "never" in why else "correct the value",
                notes=(why,),
            )
    check_measuring(context, where, verify)
