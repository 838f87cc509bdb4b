"""A quantization method -> the steps that carry it out, in the order in which they must run.

    smooth -> per-token-scale -> tanh-gelu -> tables -> block weights -> the method -> GPTQ rounding

Every step before the tables is exact in fp32, or as good as (tanh-gelu), so the graph there is what
the quantized one is held against, layer by layer.

A step that is there by default may find nothing to do, and one of a miniature too: only what the
recipe itself asks for fails then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from olive_build.engine.step import Step
from olive_build.errors import PlanError
from olive_build.methods.steps.dynamic_int8 import QuantizeDynamicInt8
from olive_build.methods.steps.embedding_rows import QuantizeEmbeddings
from olive_build.methods.steps.fp16 import ConvertToFp16
from olive_build.methods.steps.gptq_rounding import GptqRounding
from olive_build.methods.steps.qdq_weights import QuantizeConvWeights
from olive_build.methods.steps.smoothing import Smooth
from olive_build.methods.steps.static_int8 import QuantizeStaticInt8
from olive_build.methods.steps.stored_int8 import StoreInt8
from olive_build.methods.steps.tied_tables import QuantizeTiedTables
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.recipe.build import (
    BlockWeights,
    DynamicInt8,
    Fp16,
    Quantize,
    StaticInt8,
    StoredInt8,
    WeightOnly,
)
from olive_build.steps.fuse import PerTokenScale, TanhGelu
from olive_build.steps.notes import IF_THERE

# What dynamic int8 takes of graphs that have convolutions too.
PRODUCTS = ("MatMul", "Gemm", "Attention")


class AddStep(Protocol):
    """Adds a step to the plan under a stage's name and returns its node."""

    def __call__(self, step: Step, inputs: Mapping[str, str], stage: str) -> str: ...


@dataclass(frozen=True)
class Quantized:
    """The nodes of a quantized graph: itself, and the fp32 graph with the same layers."""

    node: str
    before: str


@dataclass(frozen=True)
class QuantizationPlanner:
    """Adds a method's steps. `calibration` adds the calibration inputs, where they are needed.

    `convolutional` models have their weights in convolutions, and hardly any in matrix products;
    `mixed` ones have both, and convolutions stay as they are: their int8 kernels are slow. Those
    that are `tied` multiply by the table that they look up in. `by_default` are the method's fields
    that the recipe does not write, and `level` gives the accuracy level of blocks by their bits.
    """

    add: AddStep
    calibration: Callable[[], str]
    convolutional: bool
    mixed: bool = False
    tied: bool = False
    miniature: bool = False
    by_default: tuple[str, ...] = ()
    level: Callable[[int], int] = lambda bits: 4

    def quantize(self, method: Quantize, node: str) -> Quantized:
        """Return the nodes of the graph at `node`, quantized. Raises PlanError for `auto`."""
        match method:
            case DynamicInt8():
                return self._dynamic(method, node)
            case StaticInt8():
                return self._static(method, node)
            case WeightOnly():
                return self._weight_only(method, node)
            case StoredInt8():
                store = StoreInt8(self._patterns(method.exclude))
                return Quantized(self.add(store, {"model": node}, "quantize"), node)
            case Fp16():
                exclude = self._patterns(method.exclude)
                step = ConvertToFp16(method.keep_io_types, method.exclude_operators, exclude)
                # Without calibration inputs its weights alone are looked at for what overflows.
                if self.mixed:
                    return Quantized(self.add(step, {"model": node}, "quantize"), node)
                return Quantized(self._calibrated(step, node, "quantize"), node)
        raise PlanError(f"no step for the method {method!r}")

    def _dynamic(self, method: DynamicInt8, node: str) -> Quantized:
        scope = method.per_token if isinstance(method.per_token, str) else "nodes"
        if method.smooth:
            granularity = "per-token" if scope == "all" else "per-tensor"
            smooth = Smooth(granularity, asked=self._asked("smooth"))
            node = self._calibrated(smooth, node, "smooth")
        kept = tuple(pattern for item in method.overrides for pattern in item.nodes)
        if scope != "none" and method.per_token:
            nodes = () if isinstance(method.per_token, str) else method.per_token
            kept = self._patterns((*kept, *method.exclude))
            asked = self._asked("per_token")
            scale = PerTokenScale(scope, self._patterns(nodes), kept, asked)
            node = self.add(scale, {"model": node}, "per-token-scale")
        if method.gelu == "tanh":
            node = self.add(TanhGelu(self._asked("gelu")), {"model": node}, "tanh-gelu")
        before = node
        if method.embeddings == "per-row" and not self.convolutional:
            node = self.add(QuantizeEmbeddings(()), {"model": node}, "embeddings")
        node = self._blocks(method.overrides, node)
        step = QuantizeDynamicInt8(
            per_channel=method.per_channel,
            weight_type=method.weight_type,
            reduce_range=method.reduce_range,
            embeddings=method.embeddings == "per-tensor",
            operators=method.operators or (PRODUCTS if self.mixed else None),
            exclude=self._patterns(method.exclude),
        )
        node = self.add(step, {"model": node}, "quantize")
        return Quantized(self._rounded(method.rounding, node, before), before)

    def _static(self, method: StaticInt8, node: str) -> Quantized:
        if method.smooth:
            smooth = Smooth("per-tensor", asked=self._asked("smooth"))
            node = self._calibrated(smooth, node, "smooth")
        before = node
        if not self.convolutional:
            node = self.add(QuantizeEmbeddings(()), {"model": node}, "embeddings")
        step = QuantizeStaticInt8(
            activations=method.activations,
            weights=method.weights,
            per_channel=method.per_channel,
            calibration=method.calibration,
            percentile=method.percentile,
            operators=method.operators,
            exclude=self._patterns(method.exclude),
        )
        node = self._calibrated(step, node, "quantize")
        return Quantized(self._rounded(method.rounding, node, before), before)

    def _weight_only(self, method: WeightOnly, node: str) -> Quantized:
        if method.smooth:
            smooth = Smooth("block", method.block_size, self._asked("smooth"))
            node = self._calibrated(smooth, node, "smooth")
        before = node
        if self.convolutional:
            if not method.convolutions:
                raise PlanError(
                    "nothing is left to quantize",
                    why="the model's weights are in convolutions, which `convolutions: false` "
                    "leaves alone",
                    hint="write `convolutions: true`, or another method",
                )
            exclude = self._patterns(method.exclude)
            convolutions = QuantizeConvWeights(per_channel=True, exclude=exclude)
            return Quantized(self.add(convolutions, {"model": node}, "quantize"), before)
        if self.mixed and method.embeddings:
            # The words' table is multiplied by too, and a product takes no blocks of rows.
            node = self.add(QuantizeEmbeddings(()), {"model": node}, "embeddings")
        if self.tied and method.embeddings and not self.mixed:
            tables = QuantizeTiedTables(
                bits=method.bits,
                block_size=method.block_size,
                symmetric=method.symmetric,
                accuracy_level=method.accuracy_level,
                exclude=self._patterns(method.exclude),
                asked=self._asked("embeddings"),
            )
            node = self.add(tables, {"model": node}, "tied-blocks")
        node = self._blocks(method.overrides, node)
        weights = QuantizeWeights(
            algorithm="rtn" if method.algorithm == "gptq" else method.algorithm,
            bits=method.bits,
            block_size=method.block_size,
            symmetric=method.symmetric,
            accuracy_level=method.accuracy_level,
            embeddings=method.embeddings and not self.mixed,
            only=None,
            exclude=self._patterns(method.exclude),
        )
        node = self.add(weights, {"model": node}, "quantize")
        rounding = "gptq" if method.algorithm == "gptq" else "nearest"
        node = self._rounded(rounding, node, before)
        if method.activations == "fp16":
            node = self._calibrated(ConvertToFp16(method.keep_io_types, (), ()), node, "half")
        return Quantized(node, before)

    def _blocks(self, overrides: tuple[BlockWeights, ...], node: str) -> str:
        """Give the products that a recipe names their own weights, in blocks."""
        for number, item in enumerate(overrides, 1):
            step = QuantizeWeights(
                algorithm="rtn",
                bits=item.bits,
                block_size=item.block_size,
                symmetric=item.bits == 8,
                accuracy_level=self.level(item.bits),
                embeddings=False,
                only=self._patterns(item.nodes),
                exclude=(),
            )
            node = self.add(step, {"model": node}, f"block-weights-{number}")
        return node

    def _rounded(self, rounding: str, node: str, before: str) -> str:
        if rounding == "nearest":
            return node
        inputs = {"model": node, "before": before, "calibration": self.calibration()}
        return self.add(GptqRounding(asked=self._asked("rounding")), inputs, "gptq-rounding")

    def _asked(self, field: str) -> bool:
        """Return whether the step of a field must find something to do."""
        return not self.miniature and field not in self.by_default

    def _patterns(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """Return the patterns as a step is given them: a miniature need not have every node."""
        return tuple(f"{IF_THERE * self.miniature}{pattern}" for pattern in patterns)

    def _calibrated(self, step: Step, node: str, stage: str) -> str:
        return self.add(step, {"model": node, "calibration": self.calibration()}, stage)
