"""The verbs of a plan. Each is a frozen value with `run`; heavy libraries are imported inside it.

`STEPS` maps a step's kind to where its class is, so that a worker finds it by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.engine.registry import WorkerKind

STEPS: Mapping[str, str] = {
    "miniature": "olive_build.steps.miniature:Miniature",
    "export": "olive_build.steps.export:Export",
    "fuse": "olive_build.steps.fuse:FuseAttention",
    "separate-projection": "olive_build.steps.fuse:SeparateProjection",
    "per-token-scale": "olive_build.steps.fuse:PerTokenScale",
    "dynamic-int8": "olive_build.quantizers.dynamic_int8:QuantizeDynamicInt8",
    "weight-only": "olive_build.quantizers.weight_only:QuantizeWeights",
    "fp16": "olive_build.quantizers.fp16:ConvertToFp16",
    "olive-pass": "olive_build.steps.olive_pass:OlivePass",
    "tokenizer": "olive_build.steps.compose:BuildTokenizer",
    "compose": "olive_build.steps.compose:Compose",
    "convert-ort": "olive_build.steps.convert_ort:ConvertToOrt",
    "describe": "olive_build.steps.describe:Describe",
    "reference": "olive_build.steps.reference:Reference",
    "quality": "olive_build.steps.quality:MeasureQuality",
    "latency": "olive_build.steps.latency:MeasureLatency",
}

WORKERS: Mapping[str, WorkerKind] = {
    "torch": WorkerKind(preload=("torch", "transformers"), costly=True),
    "olive": WorkerKind(
        preload=(
            "onnx",
            "onnxruntime",
            "torch",
            "olive.model",
            "olive.package_config",
            "olive.passes.olive_pass",
            "olive.hardware.accelerator",
            "olive_build.olive_bridge",
        ),
        costly=True,
    ),
    "onnxruntime": WorkerKind(
        preload=("numpy", "onnx", "onnxruntime", "onnxruntime_extensions", "tokenizers")
    ),
}
