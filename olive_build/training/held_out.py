"""How well a model does on examples that it does not learn from, all of them judged as one batch.

Runs in the training toolchain: numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from olive_build.training.settings import Loss

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Numbers = npt.NDArray[np.float64]


class Evaluates(Protocol):
    """What is asked of a session: the outputs for a batch."""

    def evaluate(self, inputs: Sequence[Array], target: Array) -> tuple[float, Sequence[Array]]: ...


@dataclass(frozen=True)
class Judged:
    """The loss of all examples, and the share that is right; None where a loss knows no right."""

    loss: float
    accuracy: float | None
    outputs: tuple[Array, ...]


def judge(
    session: Evaluates,
    inputs: Sequence[Array],
    targets: Array,
    *,
    loss: Loss,
    output: int,
    batch: int,
    fixed: bool,
) -> Judged:
    """Return what the evaluation model does with examples [count, ...], `batch` of them at a time.

    `output` is which output the loss is taken of. Where the batch is `fixed`, the last one is
    filled up with examples that are then left out. The loss is that of all examples together, not a
    mean of batches: the last may be smaller, and class weights differ between them.
    """
    import numpy as np

    found: list[Sequence[Array]] = []
    for start in range(0, len(targets), batch):
        rows = np.arange(start, min(start + batch, len(targets)))
        taken = np.resize(rows, batch) if fixed else rows
        _, outputs = session.evaluate([item[taken] for item in inputs], targets[taken])
        found.append([item[: len(rows)] for item in outputs])
    together = tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
    given = together[output]
    return Judged(loss_of(loss, given, targets), right_share(loss, given, targets), together)


def loss_of(loss: Loss, outputs: Array, targets: Array) -> float:
    """Return the loss as PyTorch defines it (torch.nn.functional), averaged over all examples."""
    import numpy as np

    numbers = outputs.astype(np.float64)
    match loss.name:
        case "cross-entropy":
            return _cross_entropy(numbers, targets, loss.class_weights)
        case "mse":
            return float(np.mean((numbers - targets) ** 2))
        case "l1":
            return float(np.mean(np.abs(numbers - targets)))
        case "bce-with-logits":
            # log(1 + exp(-|x|)) does not overflow.
            softplus = np.log1p(np.exp(-np.abs(numbers))) + np.maximum(numbers, 0)
            return float(np.mean(softplus - numbers * targets))


def _cross_entropy(logits: Numbers, targets: Array, class_weights: Sequence[float]) -> float:
    import numpy as np

    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    of_target = -np.take_along_axis(logs, targets[:, np.newaxis], axis=-1)[:, 0]
    weights = np.array(class_weights)[targets] if class_weights else np.ones(len(targets))
    return float((weights * of_target).sum() / weights.sum())


def right_share(loss: Loss, outputs: Array, targets: Array) -> float | None:
    """Return the share of classes, or of yes and no, that are right; None for other numbers."""
    import numpy as np

    match loss.name:
        case "cross-entropy":
            return float(np.mean(outputs.argmax(axis=-1) == targets))
        case "bce-with-logits":
            return float(np.mean((outputs > 0) == (targets > 0.5)))
        case _:
            return None
