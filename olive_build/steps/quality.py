"""How well a file does what PyTorch does: its outputs on the references, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.engine.step import Step, write_json

QUALITY = "quality.json"


@dataclass(frozen=True)
class RunReference(Step):
    """Write outputs.npz or outputs.json: what a file gives for the reference's samples.

    Inputs: model, reference. `file` is which file of the model's artifact is run (model.onnx or
    model.ort). It measures: int8 kernels differ between processors. Graphs of a layout of several
    files come as `model.<file>`, with the model folder as `source` and the family's `parts`: its
    module `session` runs them together, by the recipe's `options`. Of a file that searches by
    itself the graph inside comes as `step`, for what is said of texts.
    """

    file: str
    session: str = ""
    parts: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    worker = "onnxruntime"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.outputs import of_steps, write_outputs
        from olive_build.proof.quality import run_reference
        from olive_build.proof.reference import read_reference
        from olive_build.steps.model_check import MODEL

        reference = read_reference(inputs["reference"])
        outputs = run_reference(self._model(inputs), reference)
        if "step" in inputs:
            outputs = of_steps(outputs, inputs["step"] / MODEL, reference)
        write_outputs(outputs, out)

    def _model(self, inputs: Mapping[str, Path]) -> Any:
        """Return the path of a single file, or a session of several."""
        from olive_build.proof.contestant import files_of
        from olive_build.steps.model_check import MODEL

        if "model" in inputs:
            return inputs["model"] / self.file
        files = files_of(inputs, "model", self.file)
        parts = {name: inputs[name] / MODEL for name in self.parts}
        session = rooms.look_up(self.session)
        return session.open_files(files, inputs["source"], dict(self.options), parts)


@dataclass(frozen=True)
class MeasureQuality(Step):
    """Write quality.json. Inputs: outputs, reference, and baseline unless the model is that graph.

    `baseline` are the outputs of the fp32 graph that the model came from; figures against it are a
    section of their own, and budgets are held against PyTorch's.
    """

    worker = "onnxruntime"
    stage = "prove"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.proof.outputs import read_outputs
        from olive_build.proof.quality import quality_of
        from olive_build.proof.reference import read_reference

        reference = read_reference(inputs["reference"])
        found = {
            name: read_outputs(inputs[name], reference)
            for name in ("outputs", "baseline")
            if name in inputs
        }
        quality = quality_of(found["outputs"], reference, baseline=found.get("baseline"))
        write_json(out / QUALITY, quality.as_json())


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
