"""A toy: the weights of products, rounded to a grid; its fields, checks, steps and ladder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olive_build.engine.step import Step
from olive_build.errors import StepError
from olive_build.knobs import knob
from olive_build.methods import Ladder, Method, Problem, Quantized, Rung, Use, escaped, exclude

if TYPE_CHECKING:
    from onnx import ModelProto

    from olive_build.calibration.inputs import Feeds
    from olive_build.methods._chain import Chain


@dataclass(frozen=True)
class RoundWeights(Step):
    """Write model.onnx whose weights of MatMul are multiples of `grid`.

    Inputs: model, and calibration where the grid is fitted: the distance is then the largest of
    `grid` and fractions of it by which no output moves by more than `grid`.
    """

    grid: float
    exclude: tuple[str, ...]

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.calibration.inputs import CALIBRATION, read_inputs
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, matching_nodes, read

        model = read(inputs["model"] / MODEL)
        kept = set(matching_nodes(model, self.exclude, out))
        grid, rounded = self.grid, self._rounded(model, kept, self.grid)
        if "calibration" in inputs:
            feeds = list(read_inputs(inputs["calibration"] / CALIBRATION))
            while _moved(model, rounded, feeds) > self.grid:
                grid /= 2
                rounded = self._rounded(model, kept, grid)
        save_clean(rounded, out / MODEL)

    @staticmethod
    def _rounded(given: ModelProto, kept: set[str], grid: float) -> ModelProto:
        import numpy as np
        from onnx import numpy_helper

        model = copy.deepcopy(given)
        products = [n for n in model.graph.node if n.op_type == "MatMul" and n.name not in kept]
        weights = {name for node in products for name in node.input}
        found = [item for item in model.graph.initializer if item.name in weights]
        if not found:
            raise StepError("no weight was rounded to a grid", why="no MatMul has one")
        for item in found:
            rounded = np.round(numpy_helper.to_array(item) / grid) * grid
            item.CopyFrom(numpy_helper.from_array(rounded.astype(np.float32), item.name))
        return model


def _moved(model: ModelProto, rounded: ModelProto, feeds: Sequence[Feeds]) -> float:
    """Return by how much an output differs at most, over all samples."""
    import numpy as np

    from olive_build.clients.onnxruntime_client import open_session, run_named

    one, other = (open_session(item.SerializeToString()) for item in (model, rounded))
    pairs = (
        pair
        for feed in feeds
        for pair in zip(run_named(one, feed), run_named(other, feed), strict=True)
    )
    return float(max(np.abs(np.subtract(*pair)).max() for pair in pairs))


@dataclass(frozen=True)
class ToyRounding(Method):
    """Weights on a grid, for the tests of what can be added."""

    grid: float = knob("The distance of two weights that can be told apart.", 0.001)
    fit: bool = knob(
        "Whether the grid is made finer until no output moves by more than its distance.",
        False,
        calibrated=(True, "leave `fit` out"),
    )
    fold: bool = knob("Whether factors that are powers of two go into weights first.", False)
    exclude: tuple[str, ...] = exclude()
    method: Literal["toy-rounding"] = knob("Rounded weights in fp32.", "toy-rounding")

    @property
    def precision(self) -> str:
        return "weight-int8"

    def problems(self, use: Use) -> Iterator[Problem]:
        yield from super().problems(use)
        if self.grid <= 0:
            yield Problem(
                "grid", f"no grid has the distance {self.grid:g}", "write more", "it is 0"
            )

    def steps(self, chain: Chain, node: str) -> Quantized:
        from olive_build.steps.fold_powers import FoldPowers

        if self.fold:
            step = FoldPowers(chain.asked("fold"))
            node = chain.add(step, {"model": node}, "fold-powers")
        rounding = RoundWeights(self.grid, chain.patterns(self.exclude))
        if self.fit:
            return Quantized(chain.calibrated(rounding, node, "quantize"), node)
        return Quantized(chain.add(rounding, {"model": node}, "quantize"), node)

    @classmethod
    def ladders(cls, precisions: Sequence[str], *, convolutional: bool) -> Sequence[Ladder]:
        return [GridLadder()]


@dataclass(frozen=True)
class GridLadder:
    """Weights on a grid, or in fp32."""

    name: str = "toy-rounding"
    rungs: tuple[Rung, ...] = (Rung("grid", "weights"), Rung("fp32", "weights"))
    operators: frozenset[str] = frozenset(("MatMul",))

    def uniform(self, rung: int) -> Method | None:
        return ToyRounding() if rung == 0 else None

    def assigned(self, rungs: Mapping[str, int]) -> Method:
        return ToyRounding(exclude=escaped(name for name, rung in rungs.items() if rung == 1))

    def refinements(self) -> Sequence[Ladder]:
        return ()

    def shortcuts(self) -> Sequence[Ladder]:
        return ()
