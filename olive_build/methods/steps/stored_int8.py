"""int8 weights in the file, arithmetic in fp32: expanded when loaded, or at every run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.errors import StepError
from olive_build.steps.change_graph import ChangeGraph

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)
STEP = "storing weights as int8"
CONV_STEP = "quantization of convolution weights"


@dataclass(frozen=True)
class StoreInt8(ChangeGraph):
    """Write model.onnx with int8 weights, symmetric, a scale for each output channel or row.

    Inputs: model. The runtime expands the weights of products when it loads the file, and then
    computes in fp32; lookups read single rows. WebAssembly needs it: its int8 products unpack their
    weights in every run (MlasGemmU8X8DispatchWasmSimd has no packed form;
    onnxruntime/core/mlas/lib/qgemm_kernel_wasmsimd.cpp of microsoft/onnxruntime), and a GPT-Neo of
    125 M parameters takes 64 ms a token with int8 arithmetic and 27 with this one. `exclude` are
    shell patterns of node names. Raises StepError when a large weight stays in fp32 without being
    excluded.
    """

    exclude: tuple[str, ...]

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.methods.algorithms.stored_int8 import store_channels
        from olive_build.steps.model_check import matching_nodes, require_quantized

        excluded = matching_nodes(model, self.exclude, out)
        result = store_channels(model, set(excluded))
        log.info("%d weights; %s", result.count, "; ".join(result.declined))
        if not result.count:
            raise StepError(
                f"{STEP} found none",
                why="; ".join(result.declined)
                or "no MatMul, Gemm or Gather outside `exclude` has a large fp32 weight",
                hint="choose another method",
            )
        require_quantized(model, excluded=excluded, exempt=(), step=STEP)


@dataclass(frozen=True)
class QuantizeConvWeights(ChangeGraph):
    """Write model.onnx with int8 weights of convolutions and products, and DequantizeLinear.

    Inputs: model. Conv, ConvTranspose, Gemm and MatMul; symmetric, with one scale for each output
    channel (`per_channel`) or one for the weight. `exclude` are shell patterns of node names. The
    arithmetic stays in fp32, and onnxruntime dequantizes at every run: a quarter of the file and of
    the weights' memory, for time (a ResNet of eight such weights at 64x64 took a third more).
    Raises StepError when there is no such weight, when a large one stays in fp32 without being
    excluded, and below opset 13.
    """

    per_channel: bool
    exclude: tuple[str, ...]

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.methods.algorithms.stored_int8 import dequantize_weights
        from olive_build.steps.model_check import matching_nodes, require_quantized

        excluded = set(matching_nodes(model, self.exclude, out))
        result = dequantize_weights(model, excluded, per_channel=self.per_channel)
        if not result.count:
            raise StepError(
                f"{CONV_STEP} found none",
                why="\n".join(result.declined)
                or "no convolution or product outside `exclude` has a large fp32 weight",
                hint="choose another method, or leave the variant out",
            )
        require_quantized(model, excluded=excluded, exempt=(), step=CONV_STEP)
