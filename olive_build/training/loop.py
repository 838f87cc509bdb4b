"""Epochs of shuffled batches over examples that lie in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.training.session import TrainingSession

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StepDone:
    """One step is done: `step` of `steps` of all epochs, in `epoch` of `epochs`, all from 1."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


def train_epochs(
    session: TrainingSession,
    inputs: Sequence[Array],
    targets: Array,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    drop_last: bool = False,
) -> Iterator[StepDone]:
    """Train `epochs` times on the examples, [examples, ...] each, in an order that `seed` fixes.

    Each epoch is shuffled anew. Its last batch may be smaller than the others; `drop_last` leaves
    an incomplete one out, as graphs with a fixed batch need it, unless it is the only one. Raises
    StepError when there is no example, or arrays differ in how many there are.
    """
    count = _examples(inputs, targets)
    generator = np.random.default_rng(seed)
    per_epoch = max(1, count // batch_size) if drop_last else -(-count // batch_size)
    for epoch in range(epochs):
        order = generator.permutation(count)
        for number in range(per_epoch):
            rows = order[number * batch_size : (number + 1) * batch_size]
            loss = session.step([values[rows] for values in inputs], targets[rows])
            done = epoch * per_epoch + number + 1
            yield StepDone(epoch + 1, epochs, done, epochs * per_epoch, loss)


def _examples(inputs: Sequence[Array], targets: Array) -> int:
    counts = {len(values) for values in (*inputs, targets)}
    if len(counts) != 1:
        raise StepError(
            "the arrays hold different numbers of examples",
            why=", ".join(str(len(values)) for values in (*inputs, targets)),
        )
    (count,) = counts
    if count == 0:
        raise StepError("there is no example to train on")
    return count
