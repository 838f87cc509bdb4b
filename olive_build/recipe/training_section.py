"""Whether `train` has a place: families that train, and the sections that say nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from olive_build.families.registry import FAMILIES, Family, family_of_task
from olive_build.recipe.codes import Code
from olive_build.recipe.context import Context
from olive_build.recipe.place import TRAIN, train_is_lost, trains
from olive_build.recipe.suggest import listed
from olive_build.recipe.tree import KeyPath

_FP32 = "what learns is fp32: quantized numbers have no gradients"
# The sections that a training bundle has no use for, and why.
IDLE: Mapping[str, str] = {
    "fuse": "fused operators have no gradients, so all of them stay plain",
    "compose": "the files take what the model takes; the application prepares it",
    "speech": "it is for models that transcribe",
    "generation": "it is for models that write",
    "components": "what learns is one graph, exported as it is",
    "variants": _FP32,
    "quantize": _FP32,
    "passes": "Olive's passes make graphs for inference, without gradients",
    "verify": "training has a proof of its own: losses, gradients and weights against PyTorch's",
}


def check_training(context: Context) -> Context:
    """Report a `train` that the family does not have or lacks, and what says nothing beside it.

    Returns the context without what was reported, so that nothing more is said about it.
    """
    family = _family(context)
    if family is not None and not family.trains:
        return _refused(context, family)
    if family is not None and family.only_trains:
        _check_all_train(context, family)
    recipe = context.recipe
    own: list[KeyPath] = [
        ("targets", target, section)
        for target in recipe.targets
        if trains(context, target)
        for section in IDLE
    ]
    everywhere = bool(recipe.targets) and all(trains(context, name) for name in recipe.targets)
    common: list[KeyPath] = [(section,) for section in IDLE] if everywhere else []
    idle = [path for path in (*common, *own) if _is_given(context, path)]
    for path in idle:
        _report_idle(context, path)
    return replace(context, dropped=context.dropped | frozenset(idle))


def _family(context: Context) -> Family | None:
    named = context.recipe.model
    both = named.family is not None and named.task is not None
    if both or ("model",) in context.dropped:
        return None  # reported where it is written
    return FAMILIES.get(named.family or "") or family_of_task(named.task or "")


def _refused(context: Context, family: Family) -> Context:
    """Report every `train` of a family that has none; return the context as if there were none."""
    recipe = context.recipe
    where: list[KeyPath] = [(TRAIN,)] if recipe.train is not None else []
    where += [("targets", t, TRAIN) for t, spec in recipe.targets.items() if spec.train]
    for path in where:
        context.add(
            Code.CANNOT_RUN,
            path,
            f"models of {family.name} cannot be trained",
            hint="remove `train`",
            notes=(f"those that can: {listed(n for n, spec in FAMILIES.items() if spec.trains)}",),
            key=True,
        )
    nothing = {TRAIN: None}
    targets = {name: spec.model_copy(update=nothing) for name, spec in recipe.targets.items()}
    return replace(context, recipe=recipe.model_copy(update={**nothing, "targets": targets}))


def _is_given(context: Context, path: KeyPath) -> bool:
    node = context.tree.find(path)
    return node is not None and node.value is not None


def _check_all_train(context: Context, family: Family) -> None:
    targets = context.recipe.targets
    lacking = [
        name for name in targets if not trains(context, name) and not train_is_lost(context, name)
    ]
    named: KeyPath = ("model", "family" if context.recipe.model.family else "task")
    places: list[KeyPath] = [("targets", name) for name in lacking]
    for path in [named] if lacking and len(lacking) == len(targets) else places:
        context.add(
            Code.MISSING_FIELD,
            path,
            f"models of {family.name} are built to be trained, and there is no `train`",
            hint="add `train:`, such as `train: {head: {replace: classifier, classes: 2}}`",
            notes=("nothing else is built of them",),
            key=len(path) == 2 and path[0] == "targets",
        )


def _report_idle(context: Context, path: KeyPath) -> None:
    section = str(path[-1])
    places: list[KeyPath] = [(*path[:-1], TRAIN), (TRAIN,)]
    places += [("targets", target, TRAIN) for target in context.recipe.targets]
    context.add(
        Code.CONFLICT,
        path,
        f"`{section}` says nothing where `train` is",
        hint="remove it",
        notes=(IDLE[section],),
        key=True,
        also=(next(at for at in places if _is_given(context, at)), "`train` is here"),
    )
