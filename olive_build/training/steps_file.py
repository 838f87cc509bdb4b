"""steps.npz: what PyTorch computed over the steps that the artifacts are compared with.

By step, since batches differ in size: input.<step>.<name> and target.<step> [batch, ...]; losses
[steps]. initial.<parameter> and final.<parameter> of each trained one, before and after all steps.
Some steps, `compared` [count], are recorded with what they began from and came to:
state.<step>.<parameter>, moment0.<step>.<parameter> and moment1.<step>.<parameter> (AdamW's; the
first step begins from initial.<parameter> and without moments), gradient.<step>.<parameter> and
after.<step>.<parameter>. eval_inputs.<name>, eval_target, eval_logits and eval_loss are of the
parameters final.<parameter>. Arrays are read when asked for.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError, first_line

STEPS = "steps.npz"
# A head or an adapter that begins at zero hides what is below it from the first gradient, both
# together from the first two. The later ones have moments of a longer past.
COMPARED = (0, 1, 2, 5, 10, 19)
# A compared step stores each trained parameter up to five times.
COMPARED_OF_LARGE = (0, 2)
LARGE_BYTES = 64e6
INITIAL = "initial."
Array = npt.NDArray[Any]


def compared_steps(trained_bytes: int, steps: int) -> tuple[int, ...]:
    """Return the steps that are recorded with their states; fewer where much is trained."""
    chosen = COMPARED if trained_bytes <= LARGE_BYTES else COMPARED_OF_LARGE
    return tuple(step for step in chosen if step < steps)


@dataclass(frozen=True)
class State:
    """What a step begins from: how many went before it, and each trained parameter's values.

    `moments` are AdamW's, the first and the second, or none.
    """

    step: int
    parameter: Callable[[str], Array]
    moments: tuple[Callable[[str], Array], ...]


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
        names = self._arrays.files
        self._trained = [n.removeprefix(INITIAL) for n in names if n.startswith(INITIAL)]

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
        """The names of the parameters that PyTorch's optimizer was given, as they were recorded."""
        return self._trained

    @property
    def compared(self) -> list[int]:
        """The steps that are recorded with the state before them, the first one first."""
        return [int(step) for step in self._get("compared")]

    def state(self, step: int) -> State:
        """Return what a compared step, other than the first, begins from."""
        kinds = [kind for kind in ("moment0", "moment1") if self._has_any(f"{kind}.{step}.")]
        return State(
            step,
            partial(self._of, f"state.{step}"),
            tuple(partial(self._of, f"{kind}.{step}") for kind in kinds),
        )

    @property
    def end(self) -> State:
        """The parameters after the last step; their moments are not recorded."""
        return State(len(self), self.final, ())

    def before(self, step: int, parameter: str) -> Array:
        """Return a trained parameter as it was before a compared step."""
        return self.initial(parameter) if step == 0 else self._of(f"state.{step}", parameter)

    def gradient(self, step: int, parameter: str) -> Array:
        """Return autograd's gradient in a compared step."""
        return self._of(f"gradient.{step}", parameter)

    def after(self, step: int, parameter: str) -> Array:
        """Return a trained parameter as it was after a compared step."""
        return self._of(f"after.{step}", parameter)

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

    def _has_any(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self._arrays.files)

    def _of(self, kind: str, parameter: str) -> Array:
        return self._get(f"{kind}.{parameter}")

    def _get(self, name: str) -> Array:
        if name not in self._arrays:
            raise StepError(
                f"the steps that PyTorch computed hold no `{name}`",
                why=f"they hold {', '.join(sorted(self._arrays)[:8])}, ...",
            )
        values: Array = self._arrays[name]
        return values
