"""A toy: the step that runs the toy rewrite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.errors import StepError


@dataclass(frozen=True)
class FoldPowers(Step):
    """Write model.onnx with the factors of its products in their weights. Inputs: model.

    Where there is none that fits, a model that was not `asked` about stays as it is.
    """

    asked: bool

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.drop_dead import drop_dead
        from olive_build.rewrites.fold_powers import fold_powers
        from olive_build.steps.model_check import MODEL, read
        from olive_build.steps.notes import leave_out

        model = read(inputs["model"] / MODEL)
        done = fold_powers(model)
        if not done.count:
            why = "; ".join(done.declined) or "no product has one"
            error = StepError("no factor is a power of two", why=why)
            leave_out(error, inputs["model"], out, asked=self.asked)
            return
        drop_dead(model)
        save_clean(model, out / MODEL)
