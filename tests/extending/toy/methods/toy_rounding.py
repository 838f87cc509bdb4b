"""A toy: the weights of products, rounded to a grid; its fields, checks, step and ladder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olive_build.engine.step import Step
from olive_build.errors import StepError
from olive_build.knobs import knob
from olive_build.methods import Ladder, Method, Problem, Quantized, Rung, Use, escaped, exclude

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain


@dataclass(frozen=True)
class RoundWeights(Step):
    """Write model.onnx whose large weights of MatMul are multiples of `grid`. Inputs: model."""

    grid: float
    exclude: tuple[str, ...]

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import numpy as np
        from onnx import numpy_helper

        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, matching_nodes, read

        model = read(inputs["model"] / MODEL)
        kept = set(matching_nodes(model, self.exclude, out))
        products = [n for n in model.graph.node if n.op_type == "MatMul" and n.name not in kept]
        weights = {name for node in products for name in node.input}
        found = [item for item in model.graph.initializer if item.name in weights]
        if not found:
            raise StepError("no weight was rounded to a grid", why="no MatMul has one")
        for item in found:
            rounded = np.round(numpy_helper.to_array(item) / self.grid) * self.grid
            item.CopyFrom(numpy_helper.from_array(rounded.astype(np.float32), item.name))
        save_clean(model, out / MODEL)


@dataclass(frozen=True)
class ToyRounding(Method):
    """Weights on a grid, for the tests of what can be added."""

    grid: float = knob("The distance of two weights that can be told apart.", 0.001)
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
        step = RoundWeights(self.grid, chain.patterns(self.exclude))
        return Quantized(chain.add(step, {"model": node}, "quantize"), node)

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
