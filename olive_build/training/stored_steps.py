"""reference/training_steps.npz: three of PyTorch's steps, small enough to lie in a bundle.

Each begins from the checkpoint's parameters with drawn numbers added, and from drawn moments, as
after one step: so nothing is stored of it but its seed, its number, and every parameter has a
gradient, also below a head of zeros. The inputs are rows of the bundle's reference. Of what is as
large as the parameters there are sketches.

names, begun [parameters]: what learns, and the sha256 of its values in the checkpoint.
scales [parameters], moment_scales [steps, parameters]: how much is drawn; moments: two of AdamW,
none of SGD.
rows [steps, batch], target.<step>, losses [steps], logits.<step> [batch, outputs].
gradients, moves [steps, parameters, 8]: sketches of the gradient and of what the step adds.
gradient_lengths, move_lengths, roundings [steps, parameters]: their lengths, and that of one
spacing of fp32 for each value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import BundleError, first_line
from olive_build.training.sketch import drawn
from olive_build.training.steps_file import State
from olive_build.untrusted import read_npz

STORED = "training_steps.npz"
COUNT = 3
# How far drawn parameters are from the checkpoint's: a share of their own size, and so much more.
SHARE, LEAST = 0.1, 0.01
# What a drawn state counts as done before it.
DONE = 1
PARAMETER, MOMENT0, MOMENT1, GRADIENT, MOVE = range(5)
Array = npt.NDArray[Any]


def key(kind: int, step: int, index: int) -> tuple[int, int, int]:
    """Return by what the numbers of one kind are drawn for a parameter in a step."""
    return kind, step, index


def drawn_parameter(initial: Array, scale: float, step: int, index: int) -> Array:
    """Return what a parameter is at the beginning of a stored step."""
    added = scale * drawn(initial.shape, *key(PARAMETER, step, index))
    return (initial + added).astype(np.float32)


def drawn_moments(
    shape: tuple[int, ...], scale: float, step: int, index: int
) -> tuple[Array, Array]:
    """Return AdamW's moments there; the second is never small, so that rounding decides nothing."""
    first = scale * drawn(shape, *key(MOMENT0, step, index))
    second = scale**2 * (1 + drawn(shape, *key(MOMENT1, step, index)) / 2)
    return first.astype(np.float32), second.astype(np.float32)


@dataclass(frozen=True)
class StoredSteps:
    """The arrays of the file; see the top of it."""

    arrays: Mapping[str, Array]

    @property
    def names(self) -> list[str]:
        """What PyTorch trained."""
        return [str(name) for name in self.arrays["names"]]

    @property
    def begun(self) -> dict[str, str]:
        """The digest of each of them in the checkpoint, as PyTorch began."""
        return dict(zip(self.names, map(str, self.arrays["begun"]), strict=True))

    def state(self, step: int, initial: Mapping[str, Array]) -> State:
        """Return what a step begins from; `initial` are the checkpoint's own parameters."""
        places = {name: index for index, name in enumerate(self.names)}

        def parameter(name: str) -> Array:
            index = places[name]
            return drawn_parameter(initial[name], float(self.arrays["scales"][index]), step, index)

        def moment(number: int, name: str) -> Array:
            index = places[name]
            scale = float(self.arrays["moment_scales"][step, index])
            return drawn_moments(initial[name].shape, scale, step, index)[number]

        count = int(self.arrays["moments"])
        return State(DONE, parameter, tuple(partial(moment, number) for number in range(count)))


def read_stored(path: Path) -> StoredSteps:
    """Return a bundle's steps. Raises BundleError where they are missing or damaged."""
    try:
        arrays = read_npz(path)
        _check(arrays)
    except (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise BundleError(
            "the stored steps of training cannot be read",
            where=str(path),
            why=f"{type(error).__name__}: {first_line(error)}",
            hint="build the bundle again; one of an older olive-build holds none",
        ) from error
    return StoredSteps(arrays)


def _check(arrays: Mapping[str, Array]) -> None:
    """Raise ValueError or KeyError unless all is there and of one count of parameters and steps."""
    count = len(arrays["names"])
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("names", "begun", "scales"), (count,)),
        **dict.fromkeys(("gradients", "moves"), (COUNT, count, 8)),
        **dict.fromkeys(("moment_scales", "gradient_lengths"), (COUNT, count)),
        **dict.fromkeys(("move_lengths", "roundings"), (COUNT, count)),
        "losses": (COUNT,),
        "moments": (),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"`{name}` is {list(arrays[name].shape)}, not {list(shape)}")
    if int(arrays["moments"]) not in (0, 2):
        raise ValueError(f"an optimizer has {arrays['moments']} moments")
    for step in range(COUNT):
        rows, targets = arrays["rows"][step], arrays[f"target.{step}"]
        if not len(rows) == len(targets) == len(arrays[f"logits.{step}"]):
            raise ValueError(f"step {step} has other rows than targets or logits")
