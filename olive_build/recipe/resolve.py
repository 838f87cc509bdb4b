"""Recipe x target -> TargetBuild: overrides merged, defaults filled, nothing left to decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from olive_build.errors import UsageError
from olive_build.families.registry import FAMILIES, Family
from olive_build.recipe.build import (
    AdapterSource,
    ComponentBuild,
    HubSource,
    PackageSource,
    PathSource,
    Source,
    TargetBuild,
)
from olive_build.recipe.checks import family_of
from olive_build.recipe.context import Context, Place
from olive_build.recipe.diagnostics import Code, RecipeErrors, Report
from olive_build.recipe.load import LoadedRecipe
from olive_build.recipe.measuring import samples
from olive_build.recipe.model import LOWEST_OPSET
from olive_build.recipe.passes import passes_for
from olive_build.recipe.sections import Opsets, owner_of, owners, sections
from olive_build.recipe.shapes import given_shapes, shapes_for
from olive_build.recipe.suggest import did_you_mean, listed
from olive_build.recipe.tree import KeyPath
from olive_build.recipe.variants import variants_for
from olive_build.targets import Provider, Target, load_provider, load_target, target_names

OPSETS = Opsets(
    LOWEST_OPSET,
    "the exporter writes LayerNormalization, which is new in 17",
    None,
    "",
    "is built",
)


def resolve(loaded: LoadedRecipe, target: str, *, source: str | None = None) -> TargetBuild:
    """Return what is built for `target`, taking the model from `source` if it is given.

    Raises UsageError when the recipe has no such target or source.
    """
    recipe = loaded.recipe
    if target not in recipe.targets:
        hint = did_you_mean(target, recipe.targets, f"it has {listed(recipe.targets)}")
        message = f"the recipe '{recipe.name}' has no target '{target}'"
        raise UsageError(message, where=str(loaded.path), hint=hint)
    given = [name for name in ("package", "hub", "path") if getattr(recipe.model.sources, name)]
    if source is not None and source not in given:
        message = f"the recipe '{recipe.name}' has no source '{source}'"
        hint = did_you_mean(source, given, f"use one of {listed(given)}")
        raise UsageError(message, where=str(loaded.path), hint=hint)
    report = Report()
    context = Context(loaded.path, loaded.positions, recipe, report, model_roots=loaded.model_roots)
    build = resolve_targets(context, (target,), source or recipe.model.source).get(target)
    if build is None or report.has_errors:
        raise RecipeErrors(report.sorted(), str(loaded.path))
    return build


def resolve_all(loaded: LoadedRecipe, *, source: str | None = None) -> tuple[TargetBuild, ...]:
    """Return the builds of all the recipe's targets, in its order."""
    return tuple(resolve(loaded, name, source=source) for name in loaded.recipe.targets)


def resolve_targets(context: Context, names: Sequence[str], source: str) -> dict[str, TargetBuild]:
    """Return the builds of those targets that have no error of a kind that leaves no build."""
    # Without a family, whose error is in the report already, one that is refused nothing stands in.
    family = family_of(context)
    if family is None:
        family = next(item for item in FAMILIES.values() if item.searches and item.data)
    found = {name: _resolve_target(context, family, name, source) for name in names}
    return {name: build for name, build in found.items() if build is not None}


def _resolve_target(context: Context, family: Family, name: str, source: str) -> TargetBuild | None:
    if not context.known("target", name, target_names(), ("targets", name), key=True):
        return None
    target = load_target(name)
    provider = _provider(context, target)
    owner = owner_of(context, name)
    if provider is not None and owner is not None:
        provider = owner.provider(context, target, provider)
    # What is wrong with a section that decides all is reported where it is read.
    lost = any(kind.is_lost(context, name) for kind in owners())
    if provider is None or lost:
        return None
    place = Place(context, context.recipe.targets[name], target, provider, family, owner)
    parts = {"layout": target.layout, **(owner.parts(place) if owner else _inference_parts(place))}
    formats, opset, shapes = _formats(place), _opset(place) or 0, shapes_for(place, family)
    if owner is None:
        asked = place.said("fuse", "attention")[0] is not None
        parts["attention_asked"] = asked
        whole = {"opset": opset, "shapes": shapes, "attention": parts["attention"]}
        whole["attention_asked"] = asked
        parts["components"] = _components(place, **whole)
        _check_joined(place, parts["compose"], opset, parts["components"])
    chosen = _source(context, source)
    return (
        TargetBuild(
            recipe=context.recipe.name,
            description=context.recipe.description.strip(),
            family=family.name,
            licence=context.recipe.model.licence,
            source=chosen,
            target=name,
            provider=provider.name,
            formats=formats,
            opset=opset,
            shapes=shapes,
            adapter=_adapter(context),
            **parts,
        )
        if chosen
        else None
    )


def _inference_parts(place: Place) -> dict[str, Any]:
    """Return the fields of a TargetBuild that another section can decide (`Owner`)."""
    family = place.family
    variants = variants_for(place)
    metric, timing = _verify(place, family)
    data, calibration = samples(place, family)
    compose = _compose(place, family)
    return {
        "attention": _attention(place),
        "compose": compose,
        "variants": variants,
        "passes": passes_for(place, tuple(variant.name for variant in variants)),
        "data": data,
        "calibration": calibration,
        "metric": metric,
        "timing": timing,
        "sections": tuple(x for kind in sections() if (x := kind.resolved(place, compose))),
    }


def _provider(context: Context, target: Target) -> Provider | None:
    name = context.recipe.targets[target.name].provider
    if name is None:
        return load_provider(target.default_provider)
    path: KeyPath = ("targets", target.name, "provider")
    if name not in target.providers:
        message = f"the target '{target.name}' has no provider '{name}'"
        hint = did_you_mean(name, target.providers, f"use one of {listed(target.providers)}")
        notes = (f"it has {listed(target.providers)}",)
        context.add(Code.UNKNOWN_NAME, path, message, hint=hint, notes=notes)
        return None
    return load_provider(name)


def _formats(place: Place) -> tuple[str, ...]:
    formats = place.spec.formats
    if formats is None:
        return place.target.default_formats
    path: KeyPath = ("targets", place.target.name, "formats")
    allowed = listed(place.target.formats)
    if not formats:
        message = f"the target '{place.target.name}' builds no format"
        place.add(Code.BAD_VALUE, path, message, hint=f"name at least one of {allowed}")
    for index, name in enumerate(formats):
        if name not in place.target.formats:
            message = f"the target '{place.target.name}' does not load the format '{name}'"
            place.add(Code.CANNOT_RUN, (*path, index), message, hint=f"use {allowed}")
        elif name in formats[:index]:
            message = f"the format '{name}' is named twice"
            place.add(Code.CONFLICT, (*path, index), message, hint="remove one of the two")
    return tuple(formats)


def _components(place: Place, **whole: Any) -> tuple[ComponentBuild, ...]:
    """Return how those components are exported and fused of which something is said."""
    found = []
    for name in place.family.components:
        own = {
            "opset": _opset(place, name),
            "shapes": shapes_for(place, place.family, name),
            "attention": _attention(place, name),
        }
        said = {key: value for key, value in own.items() if value}
        if "attention" in said:
            said["attention_asked"] = True
        if said:
            found.append(ComponentBuild(name, **{**whole, **said}))
    return tuple(found)


def _check_joined(
    place: Place, compose: str, opset: int, components: Sequence[ComponentBuild]
) -> None:
    """Report components with operators of another version than what is in one file with them."""
    family = place.family
    own = {item.name: item.opset for item in components}
    every = {name: own.get(name, opset) for name in family.components}
    files = [every] if compose == "single-file" else []
    if compose == "split":
        files = [{name: every[name] for name in joined} for joined in family.files.values()]
    for joined in files:
        for name, its in joined.items():
            said, path = place.said("export", "opset", component=name)
            others = {f"{other}: opset {x}": x for other, x in joined.items() if x != its}
            # The graphs of pre- and post-processing are of the whole's version.
            if compose == "single-file" and family.parts and its != opset:
                others[f"{' and '.join(family.parts)}: opset {opset}"] = opset
            if said is not None and others and its <= place.target.opset_max:
                place.add(
                    Code.CONFLICT,
                    path,
                    f"opset {its} of {name} does not go with the rest of its file for "
                    f"'{place.target.name}'",
                    hint=f"leave it out, or set `export: {{opset: {its}}}` for the whole target",
                    notes=(f"one file has operators of one version: {', '.join(others)}",),
                )


def _opset(place: Place, component: str = "") -> int | None:
    """Return the version of ONNX's operators; of a component None if nothing is said of it."""
    runtime = min(place.target.opset_max, place.provider.opset_max or place.target.opset_max)
    rules = place.owner.opsets if place.owner else OPSETS
    ceiling = min(runtime, rules.highest or runtime)
    opset, path = place.said("export", "opset", component=component)
    if opset is None:
        return None if component else min(place.target.opset_default, ceiling)
    assert isinstance(opset, int)
    if opset < rules.lowest:
        message = f"opset {opset} is below {rules.lowest}, the lowest that {rules.whose}"
        hint = f"use {rules.lowest} to {ceiling}"
        place.add(Code.CANNOT_RUN, path, message, hint=hint, notes=(rules.lowest_because,))
    elif opset > ceiling:
        limit = place.target.name if runtime == place.target.opset_max else place.provider.name
        whose = f"'{limit}' loads" if ceiling == runtime else rules.whose
        because = () if ceiling == runtime else (rules.highest_because,)
        message = f"opset {opset} is above {ceiling}, the highest that {whose}"
        hint = f"use {rules.lowest} to {ceiling}, or set it under the other targets only"
        place.add(Code.CANNOT_RUN, path, message, hint=hint, notes=because)
    return opset


def _attention(place: Place, component: str = "") -> Literal["fused", "plain"] | None:
    """Return what becomes of attention; of a component None if nothing is said of it."""
    chosen: Literal["fused", "plain"] | None
    chosen, path = place.said("fuse", "attention", component=component)
    able = place.provider.contrib_attention
    if chosen is None:
        if component:
            return None
        return "fused" if able and place.target.attention == "fused" else "plain"
    if chosen == "fused" and not able:
        place.add(
            Code.CONFLICT,
            path,
            f"`attention: fused` does not go with the provider '{place.provider.name}' of "
            f"'{place.target.name}'",
            hint="write `plain`, or set `fused` under the other targets only",
            notes=(place.provider.no_attention_because,),
        )
    return chosen


_WHY_NOT_COMPOSED = {
    True: "no package there has the operators of a tokenizer",
    False: "transformers.js prepares images itself and gives the file their pixels",
}


def _loads_single_file(target: Target, family: Family) -> bool:
    if family.parts:
        return bool(target.extension_packages)
    return target.layout != "transformers.js"


def _compose(place: Place, family: Family) -> Literal["single-file", "split", "none"]:
    chosen = place.spec.compose or place.context.recipe.compose
    path, target = place.where("compose"), place.target
    if chosen == "split" and len(family.components) < 2:
        place.add(
            Code.CANNOT_RUN,
            path,
            f"`compose: split` has nothing to split: {family.name} is one graph",
            hint="write `single-file` or `none`",
        )
    elif chosen == "single-file" and family.generic:
        place.add(
            Code.CANNOT_RUN,
            path,
            f"`compose: single-file` has nothing to compose: a file of {family.name} is the "
            "network alone",
            hint="write `none`, or nothing: the README's code prepares what goes in",
        )
    elif chosen == "single-file" and not _loads_single_file(target, family):
        place.add(
            Code.CANNOT_RUN,
            path,
            f"`compose: single-file` cannot be loaded by '{target.name}'",
            hint="write `none`, or set it under the other targets only",
            notes=(_WHY_NOT_COMPOSED[bool(family.parts)],),
        )
    elif chosen == "single-file" and given_shapes(place) and family.parts:
        place.add(
            Code.CONFLICT,
            path,
            "`compose: single-file` does not go with fixed shapes",
            hint="write `compose: none` for this target",
            notes=("a tokenizer in the graph gives as many tokens as the text has",),
        )
    if chosen is not None:
        return chosen
    if (given_shapes(place) and family.parts) or family.generic:
        return "none"
    if target.compose == "none" and len(family.components) > 1:
        return "split"
    assert target.compose in ("single-file", "split", "none")
    return target.compose  # type: ignore[return-value]


def _verify(place: Place, family: Family) -> tuple[str, bool]:
    own, common = place.spec.verify, place.context.recipe.verify
    metric = own.metric if own and own.metric is not None else common.metric
    timing = own.timing if own and own.timing is not None else common.timing
    return metric or family.metrics[0], True if timing is None else timing


def _adapter(context: Context) -> AdapterSource | None:
    adapter = context.recipe.model.adapter
    if adapter and adapter.hub:
        return HubSource(adapter.hub.repo, adapter.hub.revision)
    if adapter and adapter.path:
        found = context.model_folder(adapter.path.folder, ("model", "adapter", "path", "folder"))
        return PathSource(context.relative(found)) if found else None
    return None


def _source(context: Context, name: str) -> Source | None:
    sources = context.recipe.model.sources
    if name == "package" and sources.package:
        return PackageSource(**sources.package.model_dump())
    if name == "hub" and sources.hub:
        return HubSource(**sources.hub.model_dump())
    if name == "path" and sources.path:
        found = context.model_folder(sources.path.folder, ("model", "sources", "path", "folder"))
        return PathSource(context.relative(found)) if found else None
    return None
