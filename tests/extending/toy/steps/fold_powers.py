"""A toy: the step that runs the toy rewrite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.steps.change_graph import ChangeGraph
from olive_build.steps.notes import NothingToDo

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FoldPowers(ChangeGraph):
    """Write model.onnx with the factors of its products in their weights. Inputs: model.

    Where there is none that fits, a model that was not `asked` about stays as it is.
    """

    asked: bool

    stage = "quantize"

    def change(self, model: onnx.ModelProto, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.drop_dead import drop_dead
        from olive_build.rewrites.fold_powers import fold_powers

        done = fold_powers(model)
        if not done.count:
            why = "; ".join(done.declined) or "no product has one"
            raise NothingToDo("no factor is a power of two", why=why)
        drop_dead(model)
