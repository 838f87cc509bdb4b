"""steps.npz: what PyTorch computed over the steps that the artifacts are compared with.

input.<name> and target [steps, batch, ...], losses [steps], gradient.<step>.<parameter> of the
first two, eval_inputs.<name> and eval_logits after the last. Arrays are read when asked for.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError, first_line

STEPS = "steps.npz"
Array = npt.NDArray[Any]


class RecordedSteps:
    """The arrays of a steps.npz, by what they are; inputs in the order of `described`."""

    def __init__(self, path: Path, described: Mapping[str, Any]) -> None:
        """Open the file; StepError when it cannot be read."""
        try:
            self._arrays = np.load(path, allow_pickle=False)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise StepError(
                "the steps that PyTorch computed cannot be read",
                where=str(path),
                why=first_line(error),
            ) from error
        self._described = described
        self._inputs = [self._get(f"input.{entry['name']}") for entry in described["inputs"]]
        self._targets = self._get("target")

    def __len__(self) -> int:
        return len(self._targets)

    def batch(self, step: int) -> tuple[list[Array], Array]:
        """Return the inputs and the target of one step."""
        return [values[step] for values in self._inputs], self._targets[step]

    @property
    def losses(self) -> list[float]:
        """PyTorch's loss of each step, before that step's update."""
        return [float(loss) for loss in self._get("losses")]

    def gradient(self, step: int, parameter: str) -> Array:
        """Return autograd's gradient in step 0 or 1."""
        return self._get(f"gradient.{step}.{parameter}")

    def evaluation(self) -> tuple[list[Array], Array]:
        """Return the inputs of the evaluation and PyTorch's logits for them."""
        inputs = [self._get(f"eval_inputs.{e['name']}") for e in self._described["inputs"]]
        return inputs, self._get("eval_logits")

    def unused_target(self, inputs: list[Array]) -> Array:
        """Return zeros that the evaluation model takes as a target for these inputs.

        Axes that `described` calls by a name have the size that they have in the inputs.
        """
        sizes = {
            axis: size
            for entry, values in zip(self._described["inputs"], inputs, strict=True)
            for axis, size in zip(entry["axes"], values.shape, strict=True)
        }
        target = self._described["target"]
        shape = [
            sizes.get(axis, axis) if isinstance(axis, str) else axis for axis in target["axes"]
        ]
        free = [axis for axis in shape if isinstance(axis, str)]
        if free:
            raise StepError(
                f"the size of the target's axis `{free[0]}` is not known",
                why="no input has an axis of this name",
            )
        return np.zeros(shape, target["type"])

    def _get(self, name: str) -> Array:
        if name not in self._arrays:
            raise StepError(
                f"the steps that PyTorch computed hold no `{name}`",
                why=f"they hold {', '.join(sorted(self._arrays)[:8])}, ...",
            )
        values: Array = self._arrays[name]
        return values
