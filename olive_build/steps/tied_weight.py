"""One table for lookup and product, where an exporter would have runtimes make two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.errors import StepError


@dataclass(frozen=True)
class ShareTiedWeight(Step):
    """Write model.onnx whose last product reads the table of its first lookup as it lies.

    Inputs: model. Exact in fp32. Raises StepError when there is no such product: the family says
    that this graph has one.
    """

    worker = "onnxruntime"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.tied_weight import share_tied_weight
        from olive_build.steps.model_check import MODEL, read

        model = read(inputs["model"] / MODEL)
        if not share_tied_weight(model).count:
            raise StepError(
                "no product with the table of the words was found",
                why="the graph has no MatMul by the transpose of what a Gather reads",
                hint="report the model's architecture: its weights may not be tied",
            )
        save_clean(model, out / MODEL)
