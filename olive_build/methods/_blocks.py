"""Weights in blocks: what several methods store so, and whether a provider has kernels for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from olive_build.knobs import knob
from olive_build.methods import Problem, Use


@dataclass(frozen=True)
class BlockWeights:
    """Some matrix products with more exact weights than the method's own."""

    nodes: tuple[str, ...] = knob(
        "Shell patterns of node names; one that matches none fails the build."
    )
    bits: Literal[4, 8] = knob("8 is close to fp32; 4 is small.", 8)
    block_size: Literal[16, 32, 64, 128] = knob(
        "How many weights share a scale: fewer is more exact, and larger.", 128
    )


def slow_overrides(overrides: tuple[BlockWeights, ...], use: Use) -> Problem | None:
    """Return why one of a method's `overrides` is slow, None where none is."""
    for item in overrides:
        level = use.provider.block_level(item.bits)
        if found := slow_blocks("overrides", item.bits, level, use):
            return found
    return None


def slow_blocks(field: str, bits: int, level: int, use: Use) -> Problem | None:
    """Return what has no kernel and what that costs, None where the provider has one."""
    provider = use.provider
    kernels = provider.blocks_of(bits)
    if kernels is None or level in kernels.levels:
        return None
    what = f"'{provider.name}' has no kernel for blocks of {bits} bits"
    if kernels.levels:
        hint = f"leave `accuracy_level` out, which takes {provider.block_level(bits)}"
        return Problem(field, f"{what} at accuracy_level {level}", hint, kernels.otherwise)
    able = ", ".join(other for other in use.target.providers if _has_kernels(other, bits))
    others = f", or build for `provider: {able}`" if able else ""
    hint = f"write `quantize: {{method: stored-int8}}`, 8 bits and as fast as fp32{others}"
    return Problem(field, what, hint, kernels.otherwise)


def _has_kernels(provider: str, bits: int) -> bool:
    from olive_build.targets import load_provider

    kernels = load_provider(provider).blocks_of(bits)
    return kernels is not None and bool(kernels.levels)
