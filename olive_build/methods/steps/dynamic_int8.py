"""int8 weights, activations quantized at run time by their own range: no calibration data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step

STEP = "dynamic int8 quantization"


@dataclass(frozen=True)
class QuantizeDynamicInt8(Step):
    """Write model.onnx with MatMulInteger (and quantized Gather) for the matrix multiplications.

    Inputs: model. Through Olive's OnnxDynamicQuantization. `weight_type` is int8 or uint8;
    `reduce_range` keeps weights to 7 bits, for CPUs without VNNI; `embeddings` quantizes lookup
    tables that are still fp32, with one scale each; `operators` limits what is quantized (None: all
    that the quantizer knows); `exclude` are shell patterns of node names.
    Raises StepError when a large weight stays in fp32 without being excluded.
    """

    per_channel: bool
    weight_type: str
    reduce_range: bool
    embeddings: bool
    operators: tuple[str, ...] | None
    exclude: tuple[str, ...]

    worker = "olive"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.onnx_files.data_files import remove_model
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.stored_shapes import forget_stored_shapes
        from olive_build.steps.model_check import (
            MODEL,
            matching_nodes,
            read,
            require_operators,
            require_quantized,
        )

        before = read(inputs["model"] / MODEL)
        excluded = matching_nodes(before, self.exclude, out)
        if not self.embeddings:
            excluded += [node.name for node in before.graph.node if node.op_type == "Gather"]
        kinds = {node.op_type for node in before.graph.node}
        source = inputs["model"] / MODEL
        if forget_stored_shapes(before):
            source = out / "plain.onnx"
            save_clean(before, source)
        del before
        run_pass("OnnxDynamicQuantization", self._options(excluded), source, out)
        remove_model(out / "plain.onnx")
        model = read(out / MODEL)
        exempt = () if self.operators is None else kinds - set(self.operators)
        require_quantized(model, excluded=excluded, exempt=exempt, step=STEP)
        require_operators(model, ("MatMulInteger", "DynamicQuantizeLinear"), step=STEP)

    def _options(self, excluded: list[str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "precision": self.weight_type,
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
            # The pre-processing would fuse and fold behind the plan's back.
            "quant_preprocess": False,
            "nodes_to_exclude": excluded,
            # Fused graphs have tensors without a recorded type; without this the quantizer stops.
            "extra_options": {"DefaultTensorType": 1},
        }
        if self.operators is not None:
            options["op_types_to_quantize"] = list(self.operators)
        return options
