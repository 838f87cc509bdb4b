"""Integer weights and activations, with ranges of activations from calibration inputs (QDQ)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.engine.step import Step
from olive_build.errors import StepError

if TYPE_CHECKING:
    import onnx

STEP = "static quantization"
OLDEST_OPSET = 13  # the first DequantizeLinear with a scale for each channel


@dataclass(frozen=True)
class QuantizeStaticInt8(Step):
    """Write model.onnx with QuantizeLinear and DequantizeLinear pairs (QDQ).

    Inputs: model, calibration. `activations` are uint8 (CPUs) or uint16 (NPUs), with zero points;
    `weights` int8 (symmetric) or uint8. `calibration` is min-max, or percentile: then `percentile`
    percent of an activation's values lie in its range, and the rest is clipped. `operators` None
    takes all of a graph for uint16, all of a convolution net, and the products with stored weights
    of a transformer. `exclude` are shell patterns of node names. The fill of attention masks is
    made just large enough first (rewrites/repair_mask_fill.py).

    onnxruntime's QDQQuantizer with our ranges: its calibrators, and Olive's pass with them, keep
    every sample in memory. Raises StepError when a range is not finite, when nothing was
    quantized, and when a large weight stays in fp32 without being excluded.
    """

    activations: str
    weights: str
    per_channel: bool
    calibration: str
    percentile: float
    operators: tuple[str, ...] | None
    exclude: tuple[str, ...]

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.calibration.inputs import CALIBRATION, read_inputs
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import (
            MODEL,
            matching_nodes,
            read,
            require_operators,
            require_quantized,
        )

        model = read(inputs["model"] / MODEL)
        _require_opset(model)
        excluded = set(matching_nodes(model, self.exclude, out))
        kinds = {node.op_type for node in model.graph.node}

        def feeds() -> Any:
            return read_inputs(inputs["calibration"] / CALIBRATION)

        _repair_mask(model, feeds)
        quantized, operators = self._quantize(model, excluded, feeds)
        exempt = () if self.operators is None else kinds - set(operators)
        domain = "com.microsoft::" if self.activations == "uint16" else ""
        wanted = (f"{domain}QuantizeLinear", f"{domain}DequantizeLinear")
        require_operators(quantized, wanted, step=STEP)
        require_quantized(quantized, excluded=excluded, exempt=exempt, step=STEP)
        save_clean(quantized, out / MODEL)

    def _quantize(
        self, model: onnx.ModelProto, excluded: set[str], feeds: Callable[[], Any]
    ) -> tuple[onnx.ModelProto, frozenset[str]]:
        from olive_build.calibration.ranges import find_ranges
        from olive_build.methods.algorithms.static_qdq import (
            default_operators,
            insert_pairs,
            nodes_to_quantize,
            values_of,
            with_fills,
        )
        from olive_build.rewrites.repair_mask_fill import values_with_fill

        chosen = self.operators
        operators = (
            default_operators(model, self.activations) if chosen is None else frozenset(chosen)
        )
        stored_only = chosen is None and self.activations == "uint8"
        nodes = nodes_to_quantize(model, operators, excluded, stored_only=stored_only)
        if not nodes:
            raise StepError(
                f"{STEP} found no node to quantize",
                why=f"the graph has none of {', '.join(sorted(operators))} outside `exclude`",
                hint="name operators of the graph, or exclude less",
            )
        ranges = find_ranges(
            model,
            values_of(model, nodes),
            feeds,
            percentile=self.percentile if self.calibration == "percentile" else None,
            threads=os.cpu_count() or 1,
        )
        quantized = insert_pairs(
            model, nodes, with_fills(ranges, values_with_fill(model)),
            activations=self.activations, weights=self.weights, per_channel=self.per_channel,
        )  # fmt: skip
        return quantized, operators


def _require_opset(model: onnx.ModelProto) -> None:
    opset = next((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise StepError(
            f"{STEP} needs opset {OLDEST_OPSET} or later, and the graph has {opset}",
            why="DequantizeLinear has no scale for each channel before",
            hint=f"write `export: {{opset: {OLDEST_OPSET}}}` or higher",
        )


def _repair_mask(model: onnx.ModelProto, feeds: Callable[[], Any]) -> None:
    from olive_build.rewrites.repair_mask_fill import fill_from_scores, repair_mask_fill

    result = repair_mask_fill(model)
    for reason in result.declined:
        sys.stdout.write(f"the fill of a mask stays: {reason}\n")
    # A graph may come with a fill that is finite already, and still larger than it need be.
    fill = fill_from_scores(model, feeds())
    if repair_mask_fill(model, fill=fill).count:
        sys.stdout.write(f"hidden keys are filled with {fill:g}\n")
