"""Measure what a file does on an x86 CPU without VNNI, by a graph that saturates as it would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step, write_json

WITHOUT_VNNI = "without_vnni.json"
MOST_REASONS = 3


@dataclass(frozen=True)
class MeasureWithoutVnni(Step):
    """Write without_vnni.json. Inputs: model, reference.

    `status` is `same` where nothing can saturate, `emulated` where quality was measured on a graph
    that computes as such a CPU does, `not measured` where the model has products that are not
    emulated. Speed there is never measured.
    """

    worker = "onnxruntime"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.onnx_files.data_files import remove_model
        from olive_build.onnx_files.models import write
        from olive_build.proof.quality import measure_quality
        from olive_build.proof.reference import read_reference
        from olive_build.rewrites.saturate_products import saturate_products
        from olive_build.steps.model_check import MODEL, read

        model = read(inputs["model"] / MODEL)
        done = saturate_products(model)
        result: dict[str, Any] = {
            "products": done.products,
            "weight_pairs": done.pairs,
            "weight_pairs_at_risk": done.at_risk,
        }
        if done.declined:
            some = "; ".join(done.declined[:MOST_REASONS])
            result |= {"status": "not measured", "note": some}
        elif not done.at_risk:
            what = "no weight is large enough" if done.products else "it has no product of 8 bits"
            result |= {"status": "same", "note": f"nothing can saturate: {what}"}
        else:
            emulated = out / MODEL
            write(model, emulated)
            quality = measure_quality(emulated, read_reference(inputs["reference"]))
            remove_model(emulated)
            note = "sums of two products cut to 16 bits, as by vpmaddubsw; speed was not measured"
            result |= {"status": "emulated", "note": note, "quality": quality.as_json()}
        write_json(out / WITHOUT_VNNI, result)
