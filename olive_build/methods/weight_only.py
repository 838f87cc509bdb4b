"""Weights in 4 or 8 bits, block by block, with arithmetic in floating point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from olive_build.errors import PlanError
from olive_build.knobs import knob
from olive_build.methods import (
    Method,
    Problem,
    Quantized,
    Use,
    exclude,
    keep_io_types,
    smooth,
)
from olive_build.methods._blocks import BlockWeights, slow_blocks, slow_overrides

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain
    from olive_build.targets import Provider


@dataclass(frozen=True)
class WeightOnly(Method):
    """Weights in 4 or 8 bits, block by block: the smallest files; arithmetic stays in float."""

    algorithm: Literal["rtn", "k-quant", "gptq"] = knob(
        "rtn rounds to nearest; k-quant searches the scale of each block; gptq chooses the weights "
        "of a layer together, by calibration inputs. The last two are closer, and slower to build.",
        "rtn",
        calibrated=("gptq", "write `algorithm: k-quant`, or leave it out"),
    )
    bits: Literal[4, 8] = knob("8 is close to fp32; 4 takes about half of that.", 4)
    block_size: Literal[16, 32, 64, 128] = knob(
        "How many weights share a scale: fewer is more exact, and a larger file.", 32
    )
    # Measured with all-MiniLM-L6-v2, 4 bits in blocks of 32: without zero points cosine_p1 falls
    # by .013 to .019 with the sentences, to below the shipped floor; the file is 2.5 % smaller.
    symmetric: bool = knob(
        "true leaves out the zero point of each block: 2.5 % smaller and less exact. Not with "
        "k-quant, which always has zero points.",
        False,
    )
    accuracy_level: Literal[0, 1, 2, 3, 4] | None = knob(
        "What the runtime may compute in: 0 leaves it to the runtime, 4 is int8, faster on CPUs, "
        "wrong in WebAssembly and so refused for web. Left out, the lowest that the provider has a "
        "kernel for: on CPUs 0 with 4 bits and 4 with 8.",
        None,
    )
    embeddings: bool = knob(
        "Quantize lookup tables too, which are a large part of a small model; false keeps them in "
        "fp32.",
        True,
    )
    convolutions: bool = knob(
        "Store the weights of convolutions in 8 bits too, one scale per channel; they are computed "
        "in float.",
        True,
    )
    smooth: bool = smooth()
    exclude: tuple[str, ...] = exclude()
    overrides: tuple[BlockWeights, ...] = knob(
        "Products with other bits or block sizes than the rest.", ()
    )
    activations: Literal["fp32", "fp16"] = knob(
        "fp16 stores all that is left, and computes, in half precision: for GPUs.", "fp32"
    )
    keep_io_types: bool = keep_io_types()
    method: Literal["weight-only"] = knob("Low-bit weights, float arithmetic.", "weight-only")

    @property
    def precision(self) -> str:
        return "int4" if self.bits == 4 else "weight-int8"

    @property
    def level(self) -> int:
        """The accuracy level; 0 leaves it to the runtime."""
        return self.accuracy_level or 0

    def settled(self, provider: Provider) -> Self:
        if self.accuracy_level is not None:
            return self
        level = provider.block_level(self.bits)
        return replace(self, accuracy_level=level)  # type: ignore[arg-type]

    def problems(self, use: Use) -> Iterator[Problem]:
        yield from super().problems(use)
        if self.algorithm == "k-quant" and self.symmetric:
            yield Problem(
                "symmetric",
                f"k-quant cannot be symmetric (variant '{use.variant}')",
                "write `symmetric: false`, or `algorithm: rtn`",
                "it searches a scale and a zero point for each block",
                conflict=True,
            )
        if self._is_wrong(use):
            yield Problem(
                "accuracy_level",
                f"accuracy_level 4 gives wrong results for '{use.target.name}' (variant "
                f"'{use.variant}')",
                "leave it at 0 there",
                "the 4-bit kernel of WebAssembly is off by 0.19 with it, measured on MiniLM",
            )

    def slow(self, use: Use) -> Problem | None:
        if self._is_wrong(use):
            return None
        found = slow_blocks("accuracy_level", self.bits, self.level, use)
        return found or slow_overrides(self.overrides, use)

    def _is_wrong(self, use: Use) -> bool:
        return self.level == 4 and use.target.layout == "transformers.js"

    def node_patterns(self) -> Iterator[str]:
        yield from super().node_patterns()
        for item in self.overrides:
            yield from item.nodes

    def steps(self, chain: Chain, node: str) -> Quantized:
        """Add its steps. Raises PlanError where it leaves a model of convolutions as it is."""
        from olive_build.methods.steps.fp16 import ConvertToFp16
        from olive_build.methods.steps.weight_only import QuantizeWeights

        node = before = chain.smoothed(self.smooth, "block", node, self.block_size)
        if chain.convolutional:
            return Quantized(self._convolutions(chain, node), before)
        node = chain.blocks(self.overrides, self._tables(chain, node))
        weights = QuantizeWeights(
            algorithm="rtn" if self.algorithm == "gptq" else self.algorithm,
            bits=self.bits,
            block_size=self.block_size,
            symmetric=self.symmetric,
            accuracy_level=self.level,
            embeddings=self.embeddings and not chain.mixed,
            only=None,
            exclude=chain.patterns(self.exclude),
        )
        node = chain.add(weights, {"model": node}, "quantize")
        rounding = "gptq" if self.algorithm == "gptq" else "nearest"
        node = chain.rounded(rounding, node, before)
        if self.activations == "fp16":
            node = chain.calibrated(ConvertToFp16(self.keep_io_types, (), ()), node, "half")
        return Quantized(node, before)

    def _convolutions(self, chain: Chain, node: str) -> str:
        from olive_build.methods.steps.stored_int8 import QuantizeConvWeights

        if not self.convolutions:
            raise PlanError(
                "nothing is left to quantize",
                why="the model's weights are in convolutions, which `convolutions: false` "
                "leaves alone",
                hint="write `convolutions: true`, or another method",
            )
        step = QuantizeConvWeights(per_channel=True, exclude=chain.patterns(self.exclude))
        return chain.add(step, {"model": node}, "quantize")

    def _tables(self, chain: Chain, node: str) -> str:
        from olive_build.methods.steps.tables import QuantizeEmbeddings, QuantizeTiedTables

        if chain.mixed and self.embeddings:
            # The words' table is multiplied by too, and a product takes no blocks of rows.
            return chain.add(QuantizeEmbeddings(()), {"model": node}, "embeddings")
        if not (chain.tied and self.embeddings):
            return node
        tables = QuantizeTiedTables(
            bits=self.bits,
            block_size=self.block_size,
            symmetric=self.symmetric,
            accuracy_level=self.level,
            exclude=chain.patterns(self.exclude),
            asked=chain.asked("embeddings"),
        )
        return chain.add(tables, {"model": node}, "tied-blocks")
