"""The verbs of a plan. Each is a frozen value with `run`; heavy libraries are imported inside it.

`STEPS` maps a step's kind to where its class is, so that a worker finds it by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.engine.registry import WorkerKind

STEPS: Mapping[str, str] = {
    "miniature": "olive_build.steps.miniature:Miniature",
    "load-check": "olive_build.steps.load_check:LoadCheck",
    "export": "olive_build.steps.export:Export",
    "fuse": "olive_build.steps.fuse:FuseAttention",
    "fuse-cached": "olive_build.steps.fuse:FuseCachedAttention",
    "fix-shapes": "olive_build.steps.fix_shapes:FixShapes",
    "separate-projection": "olive_build.steps.fuse:SeparateProjection",
    "simplify": "olive_build.steps.simplify:SimplifyForCpu",
    "smooth": "olive_build.methods.steps.smoothing:Smooth",
    "tanh-gelu": "olive_build.steps.fuse:TanhGelu",
    "per-token-scale": "olive_build.steps.fuse:PerTokenScale",
    "embedding-int8": "olive_build.methods.steps.embedding_rows:QuantizeEmbeddings",
    "tied-blocks": "olive_build.methods.steps.tied_tables:QuantizeTiedTables",
    "stored-int8": "olive_build.methods.steps.stored_int8:StoreInt8",
    "dynamic-int8": "olive_build.methods.steps.dynamic_int8:QuantizeDynamicInt8",
    "static-int8": "olive_build.methods.steps.static_int8:QuantizeStaticInt8",
    "qdq-weights": "olive_build.methods.steps.qdq_weights:QuantizeConvWeights",
    "weight-only": "olive_build.methods.steps.weight_only:QuantizeWeights",
    "fp16": "olive_build.methods.steps.fp16:ConvertToFp16",
    "gptq-rounding": "olive_build.methods.steps.gptq_rounding:GptqRounding",
    "olive-pass": "olive_build.steps.olive_pass:OlivePass",
    "part": "olive_build.steps.compose:BuildPart",
    "join": "olive_build.steps.compose:Join",
    "tied-weight": "olive_build.steps.tied_weight:ShareTiedWeight",
    "embedding": "olive_build.steps.compose:GiveEmbedding",
    "client-tokenizer": "olive_build.steps.tokenizer_files:TokenizerFiles",
    "compose": "olive_build.steps.compose:Compose",
    "convert-ort": "olive_build.steps.convert_ort:ConvertToOrt",
    "describe": "olive_build.steps.describe:Describe",
    "reference": "olive_build.steps.reference:Reference",
    "calibration": "olive_build.steps.calibration:CalibrationInputs",
    "samples": "olive_build.steps.samples:SplitSamples",
    "damage": "olive_build.steps.damage:MeasureDamage",
    "speed": "olive_build.steps.speed:MeasureSpeed",
    "outputs": "olive_build.steps.quality:RunReference",
    "quality": "olive_build.steps.quality:MeasureQuality",
    "latency": "olive_build.steps.latency:MeasureLatency",
    "footprint": "olive_build.steps.footprint:MeasureFootprint",
    "without-vnni": "olive_build.steps.without_vnni:MeasureWithoutVnni",
    "check-training": "olive_build.steps.check_training:CheckTraining",
    "training-export": "olive_build.steps.training_export:TrainingExport",
    "training-reference": "olive_build.steps.training_reference:TrainingReference",
    "prepare-training": "olive_build.steps.prepare_training:PrepareTraining",
    "training-artifacts": "olive_build.steps.training_artifacts:TrainingArtifacts",
    "training-proof": "olive_build.steps.training_proof:TrainingProof",
    "trained-inference": "olive_build.steps.trained_inference:TrainedInference",
    "training-cost": "olive_build.steps.training_cost:TrainingCost",
    "personalise": "olive_build.steps.personalise:Personalise",
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
    "onnxruntime": WorkerKind(preload=("numpy", "onnx", "onnxruntime", "tokenizers")),
    "training": WorkerKind(preload=("numpy", "onnx"), toolchain="training"),
}
