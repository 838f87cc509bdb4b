"""The Olive passes that a recipe asks for, checked against the catalogue of the pinned Olive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from olive_build.recipe.build import PassRequest
from olive_build.recipe.catalogue import RUNS_CODE, CataloguePass, load_catalogue
from olive_build.recipe.context import Context, Place
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.model import STAGES, PassSpec
from olive_build.recipe.schema_errors import describe
from olive_build.recipe.suggest import did_you_mean, listed, nearest
from olive_build.recipe.tree import KeyPath, YamlNode
from olive_build.recipe.variants import known_variants
from olive_build.targets import target_names

# Passes that do damage or cannot work, with why and what to write instead. Each is proved in
# tests/methods/test_olive_passes.py, which fails when a later Olive has mended it.
REFUSED: dict[str, tuple[str, str]] = {
    "OnnxHqqQuantization": (
        "it packs weights without turning them round, so the file computes noise",
        "write `quantize: {method: weight-only, algorithm: gptq}`",
    ),
    "OnnxStaticQuantization": (
        "its calibration data is code or a download, and it keeps every sample in memory",
        "write `quantize: {method: static-int8}`",
    ),
    "OnnxQuantization": (
        "its calibration data is code or a download, and it keeps every sample in memory",
        "write `quantize: {method: static-int8}`, or dynamic-int8",
    ),
}


def check_passes(context: Context) -> None:
    """Report all that is wrong with `passes`, the recipe's and the targets'."""
    for spec, path in all_passes(context):
        _check_placement(context, spec, path)
        entry = _check_name(context, spec.name, (*path, "pass"))
        if entry is not None:
            _check_options(context, entry, (*path, "options"))
        for word, given in (("targets", spec.targets), ("variants", spec.variants)):
            if path[0] == word and given is not None:
                message = f"`{word}` has no place inside a {word[:-1]}"
                context.add(Code.CONFLICT, (*path, word), message, hint="remove it", key=True)
        if "components" in path and spec.after == "compose":
            message = "a component is no graph of its own after compose"
            hint = "write `before: compose`, or put the pass into `passes`, for what is composed"
            context.add(Code.BAD_PASS, (*path, "after"), message, hint=hint)
        for index, name in enumerate(spec.targets or ()):
            context.known("target", name, target_names(), (*path, "targets", index), key=False)
        for index, name in enumerate(spec.variants or ()):
            here: KeyPath = (*path, "variants", index)
            context.known("variant", name, known_variants(context), here, key=False)


def passes_for(place: Place, variants: tuple[str, ...]) -> tuple[PassRequest, ...]:
    """Return the passes of a target that builds these variants, the recipe's before its own."""
    requests = []
    for spec, component, variant in _of_target(place):
        here = spec.targets is None or place.target.name in spec.targets
        wanted = [variant] if variant else spec.variants
        chosen = tuple(name for name in variants if wanted is None or name in wanted)
        stage = spec.before or spec.after
        if not here or not chosen or stage is None:
            continue
        requests.append(
            PassRequest(
                name=spec.name,
                options=json.dumps(spec.options, sort_keys=True, separators=(",", ":")),
                placement="before" if spec.before else "after",
                stage=stage,
                variants=None if wanted is None else chosen,
                component=component,
            )
        )
    return tuple(requests)


def _of_target(place: Place) -> Iterator[tuple[PassSpec, str | None, str | None]]:
    """Yield a target's passes, each with its component and variant where it is for one alone."""
    recipe = place.context.recipe
    for spec in (*recipe.passes, *place.spec.passes):
        yield spec, None, None
    for component in place.family.components:
        layers: list[tuple[Any, str | None]] = [(recipe, None)]
        layers += [(item, name) for name, item in recipe.variants.items()]
        for layer, variant in (*layers, (place.spec, None)):
            if component in layer.components:
                for spec in layer.components[component].passes:
                    yield spec, component, variant


def all_passes(context: Context) -> Iterator[tuple[PassSpec, KeyPath]]:
    """Yield each pass and where it is written; a refused one has moved those after it up."""
    recipe = context.recipe
    whole: list[tuple[Any, KeyPath]] = [(recipe, ())]
    whole += [(item, ("targets", name)) for name, item in recipe.targets.items()]
    layers = [(item.passes, (*where, "passes")) for item, where in whole]
    whole += [(item, ("variants", name)) for name, item in recipe.variants.items()]
    layers += [
        (component.passes, (*where, "components", name, "passes"))
        for item, where in whole
        for name, component in item.components.items()
    ]
    for specs, where in layers:
        node = context.tree.find(where)
        count = len(node.value) if node is not None and isinstance(node.value, list) else 0
        left = [index for index in range(count) if (*where, index) not in context.dropped]
        for spec, index in zip(specs, left, strict=False):
            yield spec, (*where, index)


def _check_placement(context: Context, spec: PassSpec, path: KeyPath) -> None:
    if spec.before is not None and spec.after is not None:
        message = f"the pass '{spec.name}' is placed both before and after a stage"
        hint = "keep one of the two"
        context.add(
            Code.BAD_PASS, (*path, "after"), message, hint=hint, key=True,
            also=((*path, "before"), "before is here"),
        )  # fmt: skip
    elif spec.before is None and spec.after is None:
        if not {(*path, "before"), (*path, "after")} & context.dropped:
            message = f"the pass '{spec.name}' has no place"
            hint = f"add `before:` or `after:` with one of {listed(STAGES)}"
            context.add(Code.BAD_PASS, (*path, "pass"), message, hint=hint, key=True)
    elif spec.before == "export":
        message = "a pass cannot run before export"
        notes = ("passes run on the ONNX graph, and there is none yet",)
        hint = "write `after: export`"
        context.add(Code.BAD_PASS, (*path, "before"), message, hint=hint, notes=notes)


def _check_name(context: Context, name: str, path: KeyPath) -> CataloguePass | None:
    catalogue = load_catalogue()
    entry = catalogue.passes.get(name)
    usable = [
        known
        for known, found in catalogue.passes.items()
        if found.accepts == "onnx" and known not in REFUSED
    ]
    if entry is None:
        context.add(
            Code.BAD_PASS,
            path,
            f"Olive {catalogue.olive_version} has no pass '{name}'",
            hint=did_you_mean(name, usable, "use one of those below"),
            notes=() if nearest(name, usable) else (f"usable passes: {listed(usable)}",),
        )
    elif entry.accepts != "onnx":
        context.add(
            Code.BAD_PASS,
            path,
            f"the pass '{name}' takes a {entry.accepts} model, not an ONNX graph",
            hint=did_you_mean(name, usable, "remove it, or use a pass that takes ONNX"),
            notes=("passes of a recipe run on the exported graph",),
        )
        return None
    elif name in REFUSED:
        reason, instead = REFUSED[name]
        message = f"the pass '{name}' of Olive {catalogue.olive_version} is not used"
        context.add(Code.BAD_PASS, path, message, hint=instead, notes=(reason,))
        return None
    return entry


def _check_options(context: Context, entry: CataloguePass, path: KeyPath) -> None:
    node = context.tree.find(path)
    given = node.value if node is not None and isinstance(node.value, dict) else {}
    for here in _code_paths(node, path):
        message = f"the option '{here[-1]}' would run code"
        notes = ("nothing runs because a recipe says so",)
        context.add(Code.BAD_PASS, here, message, hint="remove it", notes=notes, key=True)
    for key, value in given.items():
        here = (*path, key)
        if key in RUNS_CODE:
            continue
        option = entry.options.get(key)
        if option is None:
            context.add(
                Code.BAD_PASS,
                here,
                f"the pass '{entry.name}' has no option '{key}'",
                hint=did_you_mean(key, entry.options, "remove it"),
                notes=(f"its options: {listed(sorted(entry.options))}",),
                key=True,
            )
        elif not option.takes(value.plain()):
            message = f"the option '{key}' of '{entry.name}' cannot be {describe(value)}"
            notes = (f"default: {json.dumps(option.default)}",)
            context.add(Code.BAD_PASS, here, message, hint=f"write {option.wanted()}", notes=notes)
    for key, option in entry.options.items():
        if option.required and key not in given:
            message = f"the pass '{entry.name}' needs the option '{key}'"
            context.add(
                Code.BAD_PASS, (*path[:-1], "pass"), message, hint=f"add {key}: {option.wanted()}"
            )


def _code_paths(node: YamlNode | None, path: KeyPath) -> Iterator[KeyPath]:
    """Yield where code is named, at any depth."""
    value = node.value if node is not None else None
    entries = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else ()
    for key, child in (*entries, *items):
        if key in RUNS_CODE:
            yield (*path, key)
        yield from _code_paths(child, (*path, key))
