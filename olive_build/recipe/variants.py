"""The variants of a target: how each is made, that it can run there, what it is held to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from olive_build.methods import Method, Problem, Use, precision_of
from olive_build.recipe.budgets import BudgetsSpec, filled, looser
from olive_build.recipe.build import ComponentMethod, Variant
from olive_build.recipe.context import Context, Place
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.model import VARIANT_PATTERN, VariantSpec, VerifySpec
from olive_build.recipe.quantize import METHODS, layered, unwritten, written
from olive_build.recipe.suggest import listed
from olive_build.recipe.tree import KeyPath
from olive_build.targets.model import PRECISIONS

# The built-in variants: the method of each, None for the fp32 graph. Options are the methods' own
# defaults, but for those below.
BUILT_IN_METHODS: Mapping[str, str | None] = {
    "fast": "auto",
    "faithful": "auto",
    "fp32": None,
    "fp16": "fp16",
    "int8": "dynamic-int8",
    "q8": "dynamic-int8",
    "q4": "weight-only",
    "q4f16": "weight-only",
    "w8a16": "static-int8",
}
BUILT_IN_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "w8a16": {"activations": "uint16"},
    "q4f16": {"activations": "fp16"},
}
# A variant is held to what its least exact component can keep to.
FROM_LEAST_EXACT = ("int4", "w8a8", "int8", "w8a16", "weight-int8", "fp16", "fp32")
# Those that may be slower than fp32: their reason comes with them.
FOR_SIZE = ("q4", "q4f16")
Q4_BECAUSE = "4-bit weights are for download size, and slow in WebAssembly"
# The dtypes that transformers.js 4.3 turns into file suffixes (its src/utils/dtypes.js).
_TRANSFORMERS_JS = ("fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4")


def known_variants(context: Context) -> tuple[str, ...]:
    """Return the names of the built-in variants and of those that the recipe writes."""
    node = context.tree.find(("variants",))
    own = tuple(node.value) if node is not None and isinstance(node.value, dict) else ()
    return (*BUILT_IN_METHODS, *(name for name in own if name not in BUILT_IN_METHODS))


def variants_for(place: Place) -> tuple[Variant, ...]:
    """Return the variants that are built for a target; report those that cannot be."""
    return tuple(
        variant
        for name, path in _chosen(place)
        if (variant := _variant(place, name, path)) is not None
    )


def _chosen(place: Place) -> Iterator[tuple[str, KeyPath]]:
    """Yield each variant's name and where it is chosen."""
    context, known = place.context, known_variants(place.context)
    here: KeyPath = ("targets", place.target.name, "variants")
    if place.spec.variants is None:
        for name in place.target.default_variants:
            yield name, here[:2]
        return
    if not place.spec.variants and not any(path[:-1] == here for path in context.dropped):
        message = f"the target '{place.target.name}' builds no variant"
        hint = f"name at least one of {listed(known)}, or leave `variants` out"
        context.add(Code.BAD_VARIANT, here, message, hint=hint)
    for index, name in enumerate(place.spec.variants):
        path: KeyPath = (*here, index)
        if name in place.spec.variants[:index]:
            message = f"the variant '{name}' is named twice"
            hint = "remove one of the two"
            notes = ("a variant is a file or folder, and two would have one name",)
            context.add(Code.CONFLICT, path, message, hint=hint, notes=notes)
        elif context.known("variant", name, known, path, key=False):
            yield name, path


def _variant(place: Place, name: str, path: KeyPath) -> Variant | None:
    spec = place.context.recipe.variants.get(name)
    broken = spec is None and place.context.written(("variants", name))
    if broken or not re.fullmatch(VARIANT_PATTERN, name):
        return None  # reported where it is written
    spec = spec or VariantSpec()
    method = written(spec.quantize).get("method", _built_in_method(place, name))
    given, origin = _given_budgets(place, name, _speed(name, spec))
    made = _made(place, name, spec, given, path, _built_in_layers(place, name, method), method)
    for key, default in looser(given, made.precision, place.family.metrics, name):
        _warn_of_loose(place, name, made.precision, key, given[key], default, origin[key])
    return replace(made, convolutional=_convolutional(place, made, spec, given, path))


def _made(
    place: Place,
    name: str,
    spec: VariantSpec,
    given: Mapping[str, Any],
    path: KeyPath,
    built_in: list[dict[str, Any]],
    method: str | None,
) -> Variant:
    """Return a variant by a method, `built_in` being the layers of settings below the recipe's."""
    layers = [
        written(item)
        for item in (place.context.recipe.quantize, spec.quantize, place.spec.quantize)
    ]
    quantize = _settled(place, [*built_in, *layers], method)
    _check_runs(place, name, precision_of(quantize), path)
    components = tuple(_components(place, name, spec, layers, quantize))
    speed = _speed(name, spec)
    own = {item.component: item.quantize for item in components}
    every = [own.get(component, quantize) for component in place.family.components]
    precision = min(map(precision_of, every), key=_exactness)
    because = spec.because if spec.because or name not in FOR_SIZE else Q4_BECAUSE
    return Variant(
        name=name,
        precision=precision,
        quantize=quantize,
        speed=speed,
        because=because if speed == "any" else None,
        budgets=filled(given, precision, speed, place.family.metrics, name),
        by_default=unwritten(layers, quantize),
        slow=_checked(place, name, quantize, path) if quantize else None,
        components=components,
    )


def _components(
    place: Place,
    name: str,
    spec: VariantSpec,
    layers: list[dict[str, Any]],
    whole: Method | None,
) -> Iterator[ComponentMethod]:
    """Yield how a variant makes those components of which it is said, where not as the whole.

    `layers` are the recipe's settings of the whole. A component's method is the variant's, unless
    the variant names another for it.
    """
    for component in place.family.components:
        holders = (place.context.recipe, spec, place.spec)
        said = [written(getattr(x.components.get(component), "quantize", None)) for x in holders]
        method = said[1].get("method", whole.method if whole else None)
        if method is None or not any(item.get("method") == method for item in said):
            continue
        below = [*_built_in_layers(place, name, method), *layers]
        quantize = _settled(place, [*below, *said], method)
        path = _written(place, name, method, "", component) or ("variants", name)
        if "auto" in (method, whole.method if whole else None):
            message = f"a search makes '{name}' as a whole, and not its {component} by itself"
            hint = "name a method for the variant, or leave the component out"
            place.add(Code.CONFLICT, path, message, hint=hint)
            continue
        if quantize is not None:
            _check_runs(place, name, quantize.precision, path)
            _checked(place, name, quantize, path, component)
        if quantize != whole:
            yield ComponentMethod(component, quantize, unwritten([*layers, *said], quantize))


def _convolutional(
    place: Place, made: Variant, spec: VariantSpec, given: Mapping[str, Any], path: KeyPath
) -> Variant | None:
    """Return what a method that nobody wrote becomes for weights in convolutions, if anything."""
    if not made.quantize or "method" not in made.by_default or not place.family.convolutional:
        return None
    layer = made.quantize.for_convolutions(place.provider)
    if layer is None:
        return None
    return _made(place, made.name, spec, given, path, [dict(layer)], layer["method"])


def _settled(place: Place, layers: list[dict[str, Any]], method: str | None) -> Method | None:
    """Return a method with its settings from `layers`; None where weights stay as they are."""
    found = layered(layers, method)
    if found is None or found.precision == "fp32":
        return None
    return found.settled(place.provider)


def _checked(
    place: Place, name: str, quantize: Method, path: KeyPath, component: str = ""
) -> str | None:
    """Report what a method cannot do here; return why the provider computes it slowly, if it does.

    The warning of that is left out where the recipe itself says why the variant may be slow, and of
    models whose weights may be in convolutions, which are not stored in blocks. `path` is where the
    variant is chosen, for what the recipe does not write itself.
    """
    use = Use(place.context.recipe.name, name, place.target, place.provider, place.family)

    def add(code: Code, found: Problem, message: str, hint: str) -> None:
        at = _written(place, name, quantize.method, found.field, component) or path
        place.add(code, at, message, hint=hint, notes=(found.why,))

    for found in quantize.problems(use):
        code = Code.CONFLICT if found.conflict else Code.CANNOT_RUN
        add(code, found, found.message, found.hint)
    slow = quantize.slow(use)
    if slow is None:
        return None
    spec = place.context.recipe.variants.get(name)
    if not ((spec and spec.because) or place.family.convolutional):
        excuse = f"or say in `variants.{name}` why it may be slow: `speed: any` and `because`"
        message = f"{slow.message} (variant '{name}')"
        add(Code.SLOW_KERNEL, slow, message, f"{slow.hint}; {excuse}")
    return f"{slow.message}: {slow.why}; {slow.hint}"


def _written(
    place: Place, name: str, method: str, field: str, component: str = ""
) -> KeyPath | None:
    """Return where the recipe sets an option of a variant's method; None where it does not.

    The last of the places that set it wins, so that is the one to change.
    """
    context = place.context
    layers: list[KeyPath] = [("targets", place.target.name), ("variants", name), ()]
    own = [(*layer, "components", component) for layer in layers] if component else []
    for layer in (*own, *layers):
        settings: KeyPath = (*layer, "quantize")
        chosen = context.tree.find((*settings, "method"))
        at = (*settings, field) if field else settings
        if chosen is not None and chosen.value == method and context.written(at):
            return at
    return None


def _speed(name: str, spec: VariantSpec) -> Literal["gated", "any"]:
    return spec.speed or ("any" if name in FOR_SIZE else "gated")


def _built_in_method(place: Place, name: str) -> str | None:
    return place.family.variant_methods.get(name, BUILT_IN_METHODS.get(name))


def _built_in_layers(place: Place, name: str, method: str | None) -> list[dict[str, Any]]:
    """Return the settings of a built-in variant and of its family, below the recipe's."""
    assert method is None or method in METHODS
    family = {"method": method, **place.family.method_options.get(method or "", {})}
    return [built_in_layer(name), family]


def built_in_layer(name: str) -> dict[str, Any]:
    """Return the settings of a built-in variant, which all others are laid over."""
    return {"method": BUILT_IN_METHODS.get(name), **BUILT_IN_OPTIONS.get(name, {})}


def _exactness(precision: str) -> int:
    """Return a precision's place from the least exact on; one that is not known comes first."""
    known = precision in FROM_LEAST_EXACT
    return FROM_LEAST_EXACT.index(precision) if known else -1


def _check_runs(place: Place, name: str, precision: str, path: KeyPath) -> None:
    provider, target = place.provider, place.target
    if target.layout == "transformers.js" and name not in _TRANSFORMERS_JS:
        place.add(
            Code.CANNOT_RUN,
            path,
            f"transformers.js has no dtype '{name}', so it would never load that file",
            hint=f"name the variant one of {listed(_TRANSFORMERS_JS)}",
        )
    if precision not in PRECISIONS:
        place.add(
            Code.CANNOT_RUN,
            path,
            f"no provider says whether it runs {precision}, which '{name}' is",
            hint="name another method, or have its `precision` be one that providers know",
            notes=(f"they know {listed(PRECISIONS)}",),
        )
    elif (support := provider.support_of(precision)).runs == "refused":
        able = (*provider.precisions, *provider.precisions_by_fallback)
        place.add(
            Code.CANNOT_RUN,
            path,
            f"the provider '{provider.name}' cannot run {precision}, which '{name}' is",
            hint=f"build a variant with `{support.instead}`; it runs {listed(able)}",
            notes=(support.how, f"target '{target.name}' can use {listed(target.providers)}"),
        )


def _given_budgets(
    place: Place, name: str, speed: Literal["gated", "any"]
) -> tuple[dict[str, Any], dict[str, KeyPath]]:
    """Return the budgets that the recipe gives a variant, and where each is written."""
    given, origin = dict[str, Any](), dict[str, KeyPath]()
    for spec, path in _budget_layers(place, name):
        for key, value in spec.model_dump(exclude_none=True).items():
            merges = isinstance(value, dict) and isinstance(given.get(key), dict)
            given[key] = given[key] | value if merges else value
            origin[key] = (*path, key)
    if speed == "any" and "every_variant" in origin.get("slowdown", ()):
        del given["slowdown"]  # it is meant for the variants that it is not lifted for
    if speed == "any" and "slowdown" in given:
        place.add(
            Code.CONFLICT,
            origin["slowdown"],
            f"'{name}' has a budget on latency and `speed: any`, which lifts it",
            hint="keep one of the two",
        )
    return given, origin


def _warn_of_loose(
    place: Place, name: str, precision: str, key: str, value: float, default: float, path: KeyPath
) -> None:
    place.add(
        Code.LOOSE_BUDGET,
        path,
        f"the budget '{key}: {value:g}' of '{name}' is looser than the shipped {default:g}",
        hint=f"remove it to keep to {default:g}",
        notes=(f"a sound {precision} conversion keeps to {default:g}",),
    )


def _budget_layers(place: Place, name: str) -> Iterator[tuple[BudgetsSpec, KeyPath]]:
    """Yield the recipe's and target's budgets for every variant, then those for this one."""
    layers: tuple[tuple[VerifySpec | None, KeyPath], ...] = (
        (place.context.recipe.verify, ("verify",)),
        (place.spec.verify, ("targets", place.target.name, "verify")),
    )
    for verify, layer in layers:
        if verify is not None and verify.every_variant is not None:
            yield verify.every_variant, (*layer, "every_variant")
    for verify, layer in layers:
        if verify is not None and name in verify.budgets:
            yield verify.budgets[name], (*layer, "budgets", name)
