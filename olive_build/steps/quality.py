"""Measure one file against PyTorch's references, in onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

QUALITY = "quality.json"


@dataclass(frozen=True)
class MeasureQuality:
    """Write quality.json. Inputs: model, reference, and baseline unless the model is that graph.

    `baseline` is the fp32 graph that the model came from; figures against it are a section of
    their own, and budgets are held against PyTorch's.
    `file` is which file of the model's artifact is run (model.onnx or model.ort); `machine` is
    the fingerprint of where it runs, since int8 kernels differ between processors. Graphs of a
    layout of several files come as `model.<file>` and `baseline.<file>`, with the model folder as
    `source` and the family's parts: the `family` runs them together, by the recipe's `options`.
    """

    file: str
    machine: str
    family: str
    options: tuple[tuple[str, str], ...] = ()

    kind: ClassVar[str] = "quality"
    version: ClassVar[int] = 5
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-extensions", "numpy")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.quality import measure_quality
        from olive_build.proof.reference import read_reference
        from olive_build.steps.model_check import MODEL

        reference = read_reference(inputs["reference"])
        model = _graphs(self.family, inputs, "model", self.file, self.options)
        baseline = _graphs(self.family, inputs, "baseline", MODEL, self.options)
        assert model is not None
        quality = measure_quality(model, reference, baseline=baseline)
        text = json.dumps(quality.as_json(), indent=2, sort_keys=True)
        (out / QUALITY).write_text(text + "\n", encoding="utf-8")


def _graphs(
    family: str,
    inputs: Mapping[str, Path],
    prefix: str,
    file: str,
    options: tuple[tuple[str, str], ...],
) -> Any:
    """Return the path of a single file, or a session of several; None where there is neither."""
    from olive_build.families import FAMILIES, family_module
    from olive_build.steps.model_check import MODEL

    if prefix in inputs:
        return inputs[prefix] / file
    several = {
        name.removeprefix(f"{prefix}."): path / file
        for name, path in inputs.items()
        if name.startswith(f"{prefix}.")
    }
    if not several:
        return None
    parts = {name: inputs[name] / MODEL for name in FAMILIES[family].parts}
    session = family_module(family, "session")
    return session.open_files(several, inputs["source"], dict(options), parts)
