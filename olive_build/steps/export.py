"""PyTorch model -> ONNX graph, and the proof that both compute the same at three shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build import rooms
from olive_build.engine.step import Step, write_json
from olive_build.errors import StepError
from olive_build.steps.notes import note

if TYPE_CHECKING:
    import numpy.typing as npt

    from olive_build.olive_bridge import Feeds

# fp32 sums in another order: a BERT of six layers differs by at most 3e-6.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Export(Step):
    """Write model.onnx: a PyTorch module through Olive's OnnxConversion, dynamo exporter.

    Inputs: source (model folder). `torch_side` is the family's module that loads the model, and
    `component` which of its graphs is exported. Node
    names say which module they come from. Raises StepError when the conversion fails, or when an
    output differs from PyTorch's by more than 1e-4.
    """

    torch_side: str
    opset: int
    component: str = "model"

    worker = "olive"
    stage = "export"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import convert

        side = rooms.look_up(self.torch_side)
        folder = inputs["source"]
        export = side.torch_export(folder, self.component)
        convert(export, opset=self.opset, out=out)
        _same_as_torch(export.probe_outputs(), out / "model.onnx")


RUNG = "rung.json"


@dataclass(frozen=True)
class ExportByLadder(Step):
    """Write model.onnx by the plainest way whose graph is PyTorch's, and rung.json which that is.

    Inputs: source (model folder). `task` is the module of the task, which any architecture of
    transformers may serve. Raises StepError where no way is right, with what was wrong with each.
    """

    task: str
    opset: int

    worker = "onnxruntime"
    stage = "export"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        climbed = rooms.look_up(self.task).climb(inputs["source"], self.task, self.opset, out)
        write_json(out / RUNG, climbed.as_json())
        free = sorted({name for names in climbed.axes.values() for name in names})
        note(out, f"exported by the rung '{climbed.rung}'; free axes: {', '.join(free) or 'none'}")
        for name, why in climbed.tried:
            note(out, f"the rung '{name}' was not taken: {why}")


def _same_as_torch(pairs: list[tuple[Feeds, list[npt.NDArray[Any]]]], model: Path) -> None:
    import numpy as np

    from olive_build.clients.onnxruntime_client import open_session, run_named

    session = open_session(model)
    for feeds, expected in pairs:
        actual = run_named(session, feeds)
        error = max(
            float(np.abs(one - other).max()) for one, other in zip(actual, expected, strict=True)
        )
        if not error <= TOLERANCE:
            shape = "x".join(str(n) for n in next(iter(feeds.values())).shape)
            raise StepError(
                f"the exported graph differs from PyTorch by {error:.2g} at shape {shape}",
                why=f"at most {TOLERANCE:.0e} is rounding; more is a wrong graph",
                hint="try another opset, and report the model's architecture",
            )
