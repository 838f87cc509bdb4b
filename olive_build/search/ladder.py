"""Ladders: for each layer, precisions from the fastest to the most exact. Pure.

A ladder knows how to write an assignment (a rung for each layer) as a method of the recipe
language. Rung 0 is the method at its plainest; the last one leaves the layer in fp32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from typing import Literal, Protocol

from olive_build.recipe.build import BlockWeights, DynamicInt8, Quantize, StaticInt8, WeightOnly

Assignment = Mapping[str, int]


@dataclass(frozen=True)
class Rung:
    """One precision. `spread`: a layer's share of its cost goes by its weights, or is equal."""

    name: str
    spread: Literal["weights", "equal"]


class Ladder(Protocol):
    """How one method becomes more exact, layer by layer."""

    @property
    def name(self) -> str: ...

    @property
    def rungs(self) -> tuple[Rung, ...]: ...

    @property
    def operators(self) -> frozenset[str]:
        """The operators of the layers that it assigns rungs to."""

    def uniform(self, rung: int) -> Quantize | None:
        """Return the method with every layer on `rung`; None for the fp32 graph."""

    def assigned(self, rungs: Assignment) -> Quantize:
        """Return the method with each layer on its own rung."""

    def refinements(self) -> Sequence[Ladder]:
        """Return the same ladder with one more help each, in the order to try them."""

    def shortcuts(self) -> Sequence[Ladder]:
        """Return the same ladder with one more loss each that saves time."""


@dataclass(frozen=True)
class DynamicLadder:
    """int8 by the tensor's range, by each token's own, blocks of 128 and of 32, fp32."""

    smooth: bool = False
    gptq: bool = False
    tanh: bool = False
    # Blocks of 8 bits are for matrix products alone; not every provider has their kernel.
    blocks: bool = True

    @property
    def name(self) -> str:
        helps = [" + smooth"] * self.smooth + [" + gptq"] * self.gptq + [" + tanh"] * self.tanh
        return "dynamic-int8" + "".join(helps)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        wide = Rung("blocks of 128", "weights"), Rung("blocks of 32", "weights")
        return (
            Rung("int8", "weights"),
            Rung("int8 per token", "equal"),
            *(wide if self.blocks else ()),
            Rung("fp32", "weights"),
        )

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(("MatMul",))

    def uniform(self, rung: int) -> Quantize | None:
        if rung < 2:
            return self._int8(per_token="none" if rung == 0 else "all")
        if rung == len(self.rungs) - 1:
            return None
        return self._blocks(self._block_size(rung))

    def assigned(self, rungs: Assignment) -> Quantize:
        last = len(self.rungs) - 1
        on = {rung: escaped(n for n, r in rungs.items() if r == rung) for rung in range(last + 1)}
        overrides = tuple(
            BlockWeights(on[rung], 8, self._block_size(rung)) for rung in range(2, last) if on[rung]
        )
        if rungs and not (on[0] or on[1]):
            # Nothing is left for int8 itself; the commonest block size is the method's own.
            by_nodes = sorted(overrides, key=lambda item: len(item.nodes))
            size = by_nodes[-1].block_size if by_nodes else 128
            rest = tuple(item for item in overrides if item.block_size != size)
            return replace(self._blocks(size), overrides=rest, exclude=on[last])
        per_token: Literal["none", "all"] | tuple[str, ...] = on[1] or "none"
        if on[1] and not on[0]:
            per_token = "all"
        return replace(self._int8(per_token), overrides=overrides, exclude=on[last])

    def refinements(self) -> Sequence[Ladder]:
        found: list[Ladder] = []
        if not self.smooth:
            found.append(replace(self, smooth=True))
        if not self.gptq:
            found.append(replace(self, gptq=True))
        return found

    def shortcuts(self) -> Sequence[Ladder]:
        return () if self.tanh else (replace(self, tanh=True),)

    def _block_size(self, rung: int) -> Literal[128, 32]:
        return 128 if rung == 2 else 32

    def _blocks(self, block_size: Literal[16, 32, 64, 128]) -> WeightOnly:
        return WeightOnly(
            algorithm="gptq" if self.gptq else "rtn",
            bits=8,
            block_size=block_size,
            symmetric=True,
            accuracy_level=4,
            embeddings=True,
            convolutions=False,
            smooth=self.smooth,
            exclude=(),
            overrides=(),
        )

    def _int8(self, per_token: Literal["none", "all"] | tuple[str, ...]) -> DynamicInt8:
        return DynamicInt8(
            per_channel=True,
            weight_type="int8",
            reduce_range=False,
            smooth=self.smooth,
            per_token=per_token,
            gelu="tanh" if self.tanh else "exact",
            rounding="gptq" if self.gptq else "nearest",
            embeddings="per-row",
            operators=None,
            exclude=(),
            overrides=(),
        )


@dataclass(frozen=True)
class StaticLadder:
    """uint8 activations by calibrated ranges, or fp32: what convolutions have fast kernels for."""

    percentile: float | None = None
    smooth: bool = False
    gptq: bool = False

    @property
    def name(self) -> str:
        helps = [f" at {self.percentile} %"] if self.percentile else []
        helps += [" + smooth"] * self.smooth + [" + gptq"] * self.gptq
        return "static-int8" + "".join(helps)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return (Rung("int8", "weights"), Rung("fp32", "weights"))

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))

    def uniform(self, rung: int) -> Quantize | None:
        return self.assigned({}) if rung == 0 else None

    def assigned(self, rungs: Assignment) -> Quantize:
        return StaticInt8(
            activations="uint8",
            weights="int8",
            per_channel=True,
            calibration="percentile" if self.percentile else "min-max",
            percentile=self.percentile or 99.99,
            smooth=self.smooth,
            rounding="gptq" if self.gptq else "nearest",
            operators=None,
            exclude=escaped(node for node, rung in rungs.items() if rung == 1),
        )

    def refinements(self) -> Sequence[Ladder]:
        found: list[Ladder] = []
        if self.percentile is None:
            found += [replace(self, percentile=99.99), replace(self, percentile=99.9)]
        if not self.smooth:
            found.append(replace(self, smooth=True))
        if not self.gptq:
            found.append(replace(self, gptq=True))
        return found

    def shortcuts(self) -> Sequence[Ladder]:
        return ()


def ladders_for(precisions: Sequence[str], *, convolutional: bool) -> tuple[Ladder, ...]:
    """Return the ladders that a provider with these precisions can climb, plain ones.

    Dynamic int8 is for matrix products: a `convolutional` model has its weights elsewhere.
    """
    found: list[Ladder] = []
    if "int8" in precisions and not convolutional:
        found.append(DynamicLadder(blocks="weight-int8" in precisions))
    if "w8a8" in precisions:
        found.append(StaticLadder())
    return tuple(found)


def escaped(names: Iterable[str]) -> tuple[str, ...]:
    """Return node names as shell patterns that match themselves alone, sorted."""
    return tuple(sorted(escape(name) for name in names))
