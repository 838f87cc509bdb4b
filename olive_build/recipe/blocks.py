"""Weights in blocks: whether a provider has kernels for them, at the accuracy level in question."""

from __future__ import annotations

from olive_build.recipe.build import BlockWeights, Quantize, WeightOnly
from olive_build.recipe.codes import Code
from olive_build.recipe.place import Place
from olive_build.recipe.suggest import listed
from olive_build.recipe.tree import KeyPath


def check_blocks(place: Place, name: str, quantize: Quantize | None, path: KeyPath) -> str | None:
    """Return why the provider computes a variant slowly, None where it does not; warn of it.

    The warning is left out where the recipe itself says why the variant may be slow, and of models
    whose weights may be in convolutions, which are not stored in blocks. `path` is where the
    variant is chosen, for what the recipe does not write itself.
    """
    if isinstance(quantize, WeightOnly):
        if _is_wrong(place, name, quantize.accuracy_level, path):
            return None
        slow = _slow(place, quantize.bits, quantize.accuracy_level)
        if slow:
            return _told(place, name, slow, _written(place, name, "accuracy_level") or path)
    overrides: tuple[BlockWeights, ...] = getattr(quantize, "overrides", ())
    for item in overrides:
        slow = _slow(place, item.bits, place.provider.block_level(item.bits))
        if slow:
            return _told(place, name, slow, _written(place, name, "overrides") or path)
    return None


def _slow(place: Place, bits: int, level: int) -> tuple[str, str, str] | None:
    """Return what has no kernel, what that costs and what to write instead."""
    kernels = place.provider.blocks_of(bits)
    if kernels is None or level in kernels.levels:
        return None
    what = f"'{place.provider.name}' has no kernel for blocks of {bits} bits"
    if kernels.levels:
        best = place.provider.block_level(bits)
        hint = f"leave `accuracy_level` out, which takes {best}"
        return f"{what} at accuracy_level {level}", kernels.otherwise, hint
    able = [other for other in place.target.providers if _has_kernels(other, bits)]
    others = f", or build for `provider: {listed(able)}`" if able else ""
    hint = f"write `quantize: {{method: stored-int8}}`, 8 bits and as fast as fp32{others}"
    return what, kernels.otherwise, hint


def _has_kernels(provider: str, bits: int) -> bool:
    from olive_build.targets import load_provider

    kernels = load_provider(provider).blocks_of(bits)
    return kernels is not None and bool(kernels.levels)


def _told(place: Place, name: str, slow: tuple[str, str, str], path: KeyPath) -> str:
    what, why, hint = slow
    spec = place.context.recipe.variants.get(name)
    reasoned = spec is not None and spec.because
    if not (reasoned or place.family.convolutional):
        excuse = f"; or say in `variants.{name}` why it may be slow: `speed: any` and `because`"
        message = f"{what} (variant '{name}')"
        place.add(Code.SLOW_KERNEL, path, message, hint=f"{hint}{excuse}", notes=(why,))
    return f"{what}: {why}; {hint}"


def _is_wrong(place: Place, name: str, level: int, path: KeyPath) -> bool:
    """Return whether a level gives wrong results on the target; report it where it does."""
    if level != 4 or place.target.layout != "transformers.js":
        return False
    place.add(
        Code.CANNOT_RUN,
        _written(place, name, "accuracy_level") or path,
        f"accuracy_level 4 gives wrong results for '{place.target.name}' (variant '{name}')",
        hint="leave it at 0 there",
        notes=("the 4-bit kernel of WebAssembly is off by 0.19 with it, measured on MiniLM",),
    )
    return True


def _written(place: Place, name: str, field: str) -> KeyPath | None:
    """Return where the recipe sets an option of a variant's method; None where it does not."""
    for layer in (("targets", place.target.name), ("variants", name), ()):
        path: KeyPath = (*layer, "quantize", field)
        if place.context.written(path):
            return path
    return None
