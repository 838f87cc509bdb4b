"""The verbs of a plan. Each is a frozen value with `run`; heavy libraries are imported inside it.

`STEPS` maps a step's kind to where its class is, so that a worker finds it by name.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[str, str] = {
    "miniature": "olive_build.steps.miniature:Miniature",
    "export": "olive_build.steps.export:Export",
    "fuse": "olive_build.steps.fuse:FuseAttention",
    "separate-projection": "olive_build.steps.fuse:SeparateProjection",
    "dynamic-int8": "olive_build.quantizers.dynamic_int8:QuantizeDynamicInt8",
    "weight-only": "olive_build.quantizers.weight_only:QuantizeWeights",
    "fp16": "olive_build.quantizers.fp16:ConvertToFp16",
    "olive-pass": "olive_build.steps.olive_pass:OlivePass",
    "compose": "olive_build.steps.compose:Compose",
    "convert-ort": "olive_build.steps.convert_ort:ConvertToOrt",
    "describe": "olive_build.steps.describe:Describe",
    "reference": "olive_build.steps.reference:Reference",
    "quality": "olive_build.steps.quality:MeasureQuality",
    "latency": "olive_build.steps.latency:MeasureLatency",
}
