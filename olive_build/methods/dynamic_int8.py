"""int8 by ranges that are taken while running: for CPUs, no data needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from olive_build.knobs import knob
from olive_build.methods import (
    Ladder,
    Method,
    Problem,
    Quantized,
    Rung,
    Use,
    escaped,
    exclude,
    operators,
    per_channel,
    rounding,
    smooth,
    weight_type,
)
from olive_build.methods._blocks import BlockWeights, slow_overrides
from olive_build.methods.weight_only import WeightOnly

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain
    from olive_build.targets import Provider

# What dynamic int8 takes of graphs that have convolutions too.
PRODUCTS = ("MatMul", "Gemm", "Attention")


@dataclass(frozen=True)
class DynamicInt8(Method):
    """int8 weights, activations quantized while running: small and fast on CPUs, no data needed."""

    per_channel: bool = per_channel()
    weight_type: Literal["int8", "uint8"] = weight_type()
    reduce_range: bool = knob(
        "true keeps weights to 7 bits, so that sums cannot overflow on x86 CPUs without VNNI; a "
        "little less exact elsewhere.",
        False,
    )
    smooth: bool = smooth()
    # Measured with all-MiniLM-L6-v2, single and in padded batches: without it cosine_p1 .980 and
    # mean .9915, after activations .986 and .9948 for 0 to 8 % of the time, all .988 and .9964
    # for 20 %.
    per_token: Literal["none", "after-activations", "all"] | tuple[str, ...] = knob(
        "Which matrix products scale every token by its own largest value before they are "
        "quantized: those that an activation function feeds, all, none, or a list of shell "
        "patterns of node names. Much closer to the original, in padded batches above all, for a "
        "few percent of the time.",
        "after-activations",
    )
    gelu: Literal["exact", "tanh"] = knob(
        "tanh computes fused Gelus by their usual approximation, off by at most 5e-4, and saves "
        "2 to 4 % of the time.",
        "exact",
    )
    rounding: Literal["nearest", "gptq"] = rounding()
    embeddings: Literal["per-row", "per-tensor", "fp32"] = knob(
        "How lookup tables are kept: int8 with a scale for each row, int8 with one for the table, "
        "or as they are. Per row is as good as free of loss.",
        "per-row",
    )
    operators: tuple[str, ...] | None = operators()
    exclude: tuple[str, ...] = exclude()
    overrides: tuple[BlockWeights, ...] = knob(
        "Products that keep more exact weights, in blocks, with int8 arithmetic on CPUs: what a "
        "search promotes first when int8 is not close enough.",
        (),
    )
    method: Literal["dynamic-int8"] = knob("int8 weights and int8 arithmetic.", "dynamic-int8")

    @property
    def precision(self) -> str:
        return "int8"

    def slow(self, use: Use) -> Problem | None:
        return slow_overrides(self.overrides, use)

    def for_convolutions(self, provider: Provider) -> Mapping[str, Any]:
        """Return ranges known before, which alone run convolutions in int8.

        Where the provider has no such kernels, their weights alone are in 8 bits.
        """
        if provider.support_of("w8a8").runs != "refused":
            return {"method": "static-int8"}
        return {"method": "weight-only", "bits": 8}

    def node_patterns(self) -> Iterator[str]:
        yield from super().node_patterns()
        yield from self.per_token if isinstance(self.per_token, tuple) else ()
        for item in self.overrides:
            yield from item.nodes

    def steps(self, chain: Chain, node: str) -> Quantized:
        from olive_build.methods.steps.dynamic_int8 import QuantizeDynamicInt8
        from olive_build.methods.steps.tables import QuantizeEmbeddings
        from olive_build.steps.fuse import PerTokenScale, TanhGelu

        scope = self.per_token if isinstance(self.per_token, str) else "nodes"
        node = chain.smoothed(self.smooth, "per-token" if scope == "all" else "per-tensor", node)
        kept = tuple(pattern for item in self.overrides for pattern in item.nodes)
        if scope != "none" and self.per_token:
            nodes = () if isinstance(self.per_token, str) else self.per_token
            kept = chain.patterns((*kept, *self.exclude))
            scale = PerTokenScale(scope, chain.patterns(nodes), kept, chain.asked("per_token"))
            node = chain.add(scale, {"model": node}, "per-token-scale")
        if self.gelu == "tanh":
            node = chain.add(TanhGelu(chain.asked("gelu")), {"model": node}, "tanh-gelu")
        before = node
        if self.embeddings == "per-row" and not chain.convolutional:
            node = chain.add(QuantizeEmbeddings(()), {"model": node}, "embeddings")
        node = chain.blocks(self.overrides, node)
        step = QuantizeDynamicInt8(
            per_channel=self.per_channel,
            weight_type=self.weight_type,
            reduce_range=self.reduce_range,
            embeddings=self.embeddings == "per-tensor",
            operators=self.operators or (PRODUCTS if chain.mixed else None),
            exclude=chain.patterns(self.exclude),
        )
        node = chain.add(step, {"model": node}, "quantize")
        return Quantized(chain.rounded(self.rounding, node, before), before)

    @classmethod
    def ladders(cls, precisions: Sequence[str], *, convolutional: bool) -> Sequence[Ladder]:
        if convolutional or "int8" not in precisions:
            return []
        return [DynamicLadder(blocks="weight-int8" in precisions)]


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

    def uniform(self, rung: int) -> Method | None:
        if rung < 2:
            return self._int8(per_token="none" if rung == 0 else "all")
        if rung == len(self.rungs) - 1:
            return None
        return self._blocks(self._block_size(rung))

    def assigned(self, rungs: Mapping[str, int]) -> Method:
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
        return [replace(self, **{x: True}) for x in ("smooth", "gptq") if not getattr(self, x)]

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
            convolutions=False,
            smooth=self.smooth,
        )

    def _int8(self, per_token: Literal["none", "all"] | tuple[str, ...]) -> DynamicInt8:
        return DynamicInt8(
            smooth=self.smooth,
            per_token=per_token,
            gelu="tanh" if self.tanh else "exact",
            rounding="gptq" if self.gptq else "nearest",
        )
