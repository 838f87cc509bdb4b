"""What all steps that change one graph have in common: they read it, and write it whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.engine.step import Step
from olive_build.steps.notes import NothingToDo, leave_out

if TYPE_CHECKING:
    import onnx


class ChangeGraph(Step):
    """Write model.onnx: the graph of the input `model`, as `change` leaves it.

    Where that finds nothing to do, the graph passes through with a note if the step has a field
    `asked` that is false; otherwise the step fails.
    """

    worker = "onnxruntime"

    @abstractmethod
    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        """Change the graph in place. Raises NothingToDo where it finds nothing, and StepError."""

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, read

        model = read(inputs["model"] / MODEL)
        try:
            self.change(model, inputs, out)
        except NothingToDo as error:
            leave_out(error, inputs["model"], out, asked=getattr(self, "asked", True))
        else:
            save_clean(model, out / MODEL)
