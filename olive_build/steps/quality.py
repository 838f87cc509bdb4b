"""Measure one file against PyTorch's references, in onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

QUALITY = "quality.json"


@dataclass(frozen=True)
class MeasureQuality:
    """Write quality.json. Inputs: model, reference, and baseline unless the model is that graph.

    `baseline` is the fp32 graph that the model came from; figures against it are a section of
    their own, and budgets are held against PyTorch's.
    `file` is which file of the model's artifact is run (model.onnx or model.ort); `machine` is
    the fingerprint of where it runs, since int8 kernels differ between processors.
    """

    file: str
    machine: str

    kind: ClassVar[str] = "quality"
    version: ClassVar[int] = 4
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-extensions", "numpy")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.quality import measure_quality
        from olive_build.proof.reference import read_reference
        from olive_build.steps.model_check import MODEL

        reference = read_reference(inputs["reference"])
        baseline = inputs["baseline"] / MODEL if "baseline" in inputs else None
        quality = measure_quality(inputs["model"] / self.file, reference, baseline=baseline)
        text = json.dumps(quality.as_json(), indent=2, sort_keys=True)
        (out / QUALITY).write_text(text + "\n", encoding="utf-8")
