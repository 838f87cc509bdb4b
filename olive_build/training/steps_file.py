"""steps.npz: what PyTorch computed over the steps that the artifacts are compared with.

By step, since batches differ in size: input.<step>.<name> and target.<step> [batch, ...], and
gradient.<step>.<parameter> of the first three. losses [steps]. initial.<parameter> and
final.<parameter> before and after them. eval_inputs.<name>, eval_target, eval_logits and eval_loss
after the last. Arrays are read when asked for.
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
# A head or an adapter that begins at zero hides what is below it from the first gradient, both
# together from the first two.
GRADIENT_STEPS = 3
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
        self._inputs = [str(entry["name"]) for entry in described["inputs"]]
        self._trained = [str(entry["name"]) for entry in described["trainable"]]

    def __len__(self) -> int:
        return len(self._get("losses"))

    def batch(self, step: int) -> tuple[list[Array], Array]:
        """Return the inputs and the target of one step; step 0 has the largest."""
        inputs = [self._get(f"input.{step}.{name}") for name in self._inputs]
        return inputs, self._get(f"target.{step}")

    @property
    def losses(self) -> list[float]:
        """PyTorch's loss of each step, before that step's update."""
        return [float(loss) for loss in self._get("losses")]

    @property
    def trained(self) -> list[str]:
        """The names of the parameters that PyTorch trained, which the artifacts must train too."""
        return self._trained

    @property
    def gradient_steps(self) -> int:
        """Of how many steps, from the first on, there are gradients."""
        return min(GRADIENT_STEPS, len(self))

    def gradient(self, step: int, parameter: str) -> Array:
        """Return autograd's gradient in one of the first steps."""
        return self._get(f"gradient.{step}.{parameter}")

    def initial(self, parameter: str) -> Array:
        """Return a trained parameter as it was before the first step."""
        return self._get(f"initial.{parameter}")

    def final(self, parameter: str) -> Array:
        """Return a trained parameter as it was after the last step."""
        return self._get(f"final.{parameter}")

    def evaluation(self) -> tuple[list[Array], Array]:
        """Return the inputs and the target of the evaluation after the last step."""
        inputs = [self._get(f"eval_inputs.{name}") for name in self._inputs]
        return inputs, self._get("eval_target")

    def evaluated(self) -> tuple[float, Array]:
        """Return PyTorch's loss and logits of that evaluation."""
        return float(self._get("eval_loss")), self._get("eval_logits")

    def _get(self, name: str) -> Array:
        if name not in self._arrays:
            raise StepError(
                f"the steps that PyTorch computed hold no `{name}`",
                why=f"they hold {', '.join(sorted(self._arrays)[:8])}, ...",
            )
        values: Array = self._arrays[name]
        return values
