"""Parts of a model into the one file that an application loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build import rooms
from olive_build.engine.step import Step

if TYPE_CHECKING:
    import onnx

SOURCE = "source"


@dataclass(frozen=True)
class BuildPart(Step):
    """Write model.onnx of a graph of pre- or post-processing, which all composed files share.

    Inputs: source (model folder). `part` is which of the family's; `options` are what a recipe
    says to this family alone.
    """

    composition: str
    part: str
    opset: int
    options: tuple[tuple[str, str], ...] = ()

    worker = "torch"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL

        composition = rooms.look_up(self.composition)
        part = composition.part(self.part, inputs[SOURCE], self.opset, dict(self.options))
        save_clean(part, out / MODEL)


@dataclass(frozen=True)
class Join(Step):
    """Write model.onnx of components that a layout of several files has in one of them.

    Inputs: source (model folder), and the components by name. `file` is what the layout calls it.
    """

    composition: str
    file: str

    worker = "onnxruntime"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        composition = rooms.look_up(self.composition)
        _write(composition.join(self.file, _graphs(inputs), inputs[SOURCE]), out)


@dataclass(frozen=True)
class GiveEmbedding(Step):
    """Write model.onnx of a bare graph with what follows its transformer, which no client knows.

    Inputs: source (model folder), model.
    """

    composition: str

    worker = "onnxruntime"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        composition = rooms.look_up(self.composition)
        _write(composition.with_embedding(_graphs(inputs)["model"], inputs[SOURCE]), out)


@dataclass(frozen=True)
class Compose(Step):
    """Write model.onnx with the family's components, pre- and post-processing in one graph.

    Inputs: source (model folder), and the graphs by the names of the family's components and parts.
    """

    composition: str
    options: tuple[tuple[str, str], ...] = ()

    worker = "onnxruntime"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        composition = rooms.look_up(self.composition)
        options = dict(self.options)
        _write(composition.compose(_graphs(inputs), inputs[SOURCE], options), out)


def _graphs(inputs: Mapping[str, Path]) -> dict[str, onnx.ModelProto]:
    from olive_build.steps.model_check import MODEL, read

    return {name: read(path / MODEL) for name, path in inputs.items() if name != SOURCE}


def _write(model: onnx.ModelProto, out: Path) -> None:
    """Write model.onnx, and open it: an operator that the runtime lacks is found here."""
    from olive_build.clients.onnxruntime_client import open_session
    from olive_build.rewrites.clean import save_clean
    from olive_build.steps.model_check import MODEL

    save_clean(model, out / MODEL)
    open_session(out / MODEL)
