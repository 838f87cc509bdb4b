"""A graph of fixed sizes out of one with symbolic axes, for providers that compile for sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step
from olive_build.errors import StepError, first_line

# The same sums in the same order; a runtime may fuse differently where shapes are known.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class FixShapes(Step):
    """Write model.onnx with these (axis, size) pairs in place of symbolic axes.

    Inputs: model. No dimension of any value is unknown afterwards, and both graphs give the same
    numbers at that size, or a StepError is raised.
    """

    shapes: tuple[tuple[str, int], ...]

    worker = "onnxruntime"
    stage = "fuse"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.fix_shapes import fix_shapes
        from olive_build.steps.model_check import MODEL, read

        before = inputs["model"] / MODEL
        save_clean(fix_shapes(read(before), dict(self.shapes)), out / MODEL)
        _same_numbers(before, out / MODEL)


def _same_numbers(before: Path, after: Path) -> None:
    """Raise StepError unless both give the same outputs for inputs of the fixed graph's shapes."""
    import numpy as np

    from olive_build.clients.onnxruntime_client import open_session

    fixed, free = open_session(after), open_session(before)
    feeds = {value.name: _sample(value.type, value.shape) for value in fixed.get_inputs()}
    try:
        wanted, found = free.run(None, feeds), fixed.run(None, feeds)
    except Exception as error:
        raise StepError(
            "the graph does not run at the sizes of `shapes`",
            why=first_line(error),
            hint="use sizes that the model was made for: a sequence no longer than its positions",
        ) from error
    for value, one, other in zip(fixed.get_outputs(), wanted, found, strict=True):
        difference = float(np.abs(one.astype(np.float64) - other).max())
        if not difference <= TOLERANCE:
            raise StepError(
                f"fixing the shapes changed '{value.name}' by {difference:.2g}",
                why=f"at most {TOLERANCE:.0e} is rounding",
                hint="report the model's architecture; leave `shapes` out until it is mended",
            )


def _sample(kind: str, shape: list[int]) -> Any:
    """Return ones where the input holds integers, which are ids and masks, else seeded numbers."""
    import numpy as np

    types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
    if kind in types:
        return np.ones(shape, types[kind])
    numbers = np.random.default_rng(0).normal(size=shape)
    return numbers.astype(np.float16 if kind == "tensor(float16)" else np.float32)
