"""How well a model does on examples that it does not learn from, all of them judged as one batch.

Runs in the training toolchain: numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from olive_build.training.settings import CLASS_LOSSES, Loss

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
    """The loss of all examples, and the share that is right; None where a loss knows no right.

    `shares` has that of each class by its number, None for one without an example; `accuracy` is
    then their mean, so that a class counts however few its examples are. `equal_error_rate` is of
    two classes alone: it needs no limit, and so tells whether a better one would help.
    """

    loss: float
    accuracy: float | None
    shares: tuple[float | None, ...]
    equal_error_rate: float | None
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
    margin: float | None = None,
) -> Judged:
    """Return what the evaluation model does with examples [count, ...], `batch` of them at a time.

    `output` is which output the loss is taken of. Where the batch is `fixed`, the last one is
    filled up with examples that are then left out. The loss is that of all examples together, not a
    mean of batches: the last may be smaller, and class weights differ between them. With a `margin`
    the second of two classes is taken where its logit is above the first's by more than that, as an
    application does; without one the larger logit is.
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
    classes = loss.name in CLASS_LOSSES
    return Judged(
        loss_of(loss, given, targets),
        right_share(loss, given, targets, margin),
        class_shares(given, targets, margin) if classes else (),
        error_rate(given, targets) if classes else None,
        together,
    )


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


def right_share(
    loss: Loss, outputs: Array, targets: Array, margin: float | None = None
) -> float | None:
    """Return the share that is right: the mean of the classes' shares, or of all yes and no.

    None for other numbers.
    """
    import numpy as np

    match loss.name:
        case "cross-entropy":
            shares = [item for item in class_shares(outputs, targets, margin) if item is not None]
            return sum(shares) / len(shares)
        case "bce-with-logits":
            return float(np.mean((outputs > 0) == (targets > 0.5)))
        case _:
            return None


def class_shares(logits: Array, targets: Array, margin: float | None) -> tuple[float | None, ...]:
    """Return the share of each class's examples that is taken for it; None where it has none."""
    import numpy as np

    numbers = logits.astype(np.float64)
    if margin is None:
        taken = numbers.argmax(axis=-1)
    else:
        taken = (numbers[:, 1] - numbers[:, 0] > margin).astype(np.int64)
    there = set(targets.tolist())
    return tuple(
        float(np.mean(taken[targets == number] == number)) if number in there else None
        for number in range(logits.shape[-1])
    )


def error_rate(logits: Array, targets: Array) -> float | None:
    """Return the equal error rate of two classes, scored by the second's logit above the first's.

    None for more classes, where one has no example, and for logits that are no finite numbers.
    """
    import numpy as np

    from olive_build.proof.equal_error_rate import equal_error_rate

    if logits.shape[-1] != 2 or not np.isfinite(logits).all() or len(set(targets.tolist())) != 2:
        return None
    numbers = logits.astype(np.float64)
    scores = numbers[:, 1] - numbers[:, 0]
    # A head that begins at zero: a limit accepts all or none, and the middle between is guessing.
    if (scores == scores[0]).all():
        return 0.5
    return equal_error_rate(scores[targets == 1], scores[targets == 0]).rate
