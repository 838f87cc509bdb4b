"""What models cannot have whose inner values are not looked at: searches, ranges, GPTQ, smoothing.

Their graphs are fed by one another, so that there are no calibration inputs for each.
"""

from __future__ import annotations

from olive_build.recipe.build import Auto, Quantize, StaticInt8
from olive_build.recipe.codes import Code
from olive_build.recipe.place import Place
from olive_build.recipe.tree import KeyPath

OTHERS = "`dynamic-int8`, `weight-only` or `fp16`"
# By option: what needs calibration inputs, and what to do without.
NEEDS = {
    ("smooth", True): "leave `smooth` out",
    ("rounding", "gptq"): "leave `rounding` out",
    ("algorithm", "gptq"): "write `algorithm: k-quant`, or leave it out",
}


def check_uncalibrated(place: Place, name: str, quantize: Quantize, path: KeyPath) -> None:
    """Report what a variant asks of a family without calibration inputs that needs them.

    `path` is where the variant is chosen, for what the recipe does not write itself.
    """
    if place.family.searches:
        return
    family = place.family.name
    if isinstance(quantize, Auto):
        place.add(
            Code.CANNOT_RUN,
            _written(place, name, "auto", "method") or path,
            f"no search is built for models of {family} ('{name}' is `auto`)",
            hint=f"build `int8` in its place, or a variant by {OTHERS}",
            notes=("a search judges each layer, and their graphs are fed by one another",),
        )
    elif isinstance(quantize, StaticInt8):
        what, hint = "`static-int8`", f"use {OTHERS}"
        _refuse(place, name, what, _written(place, name, "static-int8", "method") or path, hint)
    else:
        for (field, value), hint in NEEDS.items():
            if getattr(quantize, field, None) == value:
                what = f"`{field}: {str(value).lower()}`"
                _refuse(
                    place, name, what, _written(place, name, quantize.method, field) or path, hint
                )


def _refuse(place: Place, name: str, what: str, path: KeyPath, hint: str) -> None:
    place.add(
        Code.CANNOT_RUN,
        path,
        f"{what} needs calibration inputs, and {place.family.name} has none ('{name}')",
        hint=hint,
        notes=("its graphs are fed by one another, so none has inputs of its own",),
    )


def _written(place: Place, name: str, method: str, field: str) -> KeyPath | None:
    """Return where the recipe sets an option of a variant's method; None where it does not.

    The last of the places that set it wins, so that is the one to change.
    """
    context = place.context
    for layer in (("targets", place.target.name), ("variants", name), ()):
        settings: KeyPath = (*layer, "quantize")
        chosen = context.tree.find((*settings, "method"))
        if chosen is not None and chosen.value == method and context.written((*settings, field)):
            return (*settings, field)
    return None
