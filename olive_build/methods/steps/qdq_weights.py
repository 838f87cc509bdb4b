"""int8 weights of convolutions behind a DequantizeLinear: a quarter of the file, float math."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.errors import StepError

STEP = "quantization of convolution weights"


@dataclass(frozen=True)
class QuantizeConvWeights(Step):
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

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.methods.algorithms.dequantized import dequantize_weights
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, matching_nodes, read, require_quantized

        model = read(inputs["model"] / MODEL)
        excluded = set(matching_nodes(model, self.exclude, out))
        result = dequantize_weights(model, excluded, per_channel=self.per_channel)
        if not result.count:
            raise StepError(
                f"{STEP} found none",
                why="\n".join(result.declined)
                or "no convolution or product outside `exclude` has a large fp32 weight",
                hint="choose another method, or leave the variant out",
            )
        require_quantized(model, excluded=excluded, exempt=(), step=STEP)
        save_clean(model, out / MODEL)
