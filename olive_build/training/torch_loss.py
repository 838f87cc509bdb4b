"""PyTorch's losses as a recipe names them, and seeded targets that they can be taken of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from olive_build.errors import StepError
from olive_build.training.settings import CLASS_LOSSES, Loss

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Mixed into seeds, so that targets and inputs of one step are not drawn alike.
OF_TARGETS = 7


def loss_function(loss: Loss, outputs: int) -> LossFunction:
    """Return the loss of (output [batch, outputs], target), averaged as PyTorch does by default.

    Raises StepError where class weights are not one for each of the `outputs`.
    """
    if loss.class_weights and len(loss.class_weights) != outputs:
        raise StepError(
            f"there are {len(loss.class_weights)} class weights and {outputs} classes",
            where="train.loss.class_weights",
            why="each class has one weight",
            hint=f"give {outputs} numbers, in the order of the classes",
        )
    if loss.name == "cross-entropy":
        weight = torch.tensor(loss.class_weights) if loss.class_weights else None
        return lambda output, target: functional.cross_entropy(output, target, weight=weight)
    functions: dict[str, LossFunction] = {
        "mse": functional.mse_loss,
        "bce-with-logits": functional.binary_cross_entropy_with_logits,
        "l1": functional.l1_loss,
    }
    return functions[loss.name]


def seeded_targets(loss: Loss, batch: int, outputs: int, seed: int) -> npt.NDArray[Any]:
    """Return class numbers int64 [batch], each as often as can be, or float32 [batch, outputs].

    Classes go on where the seed before left off, so that batches of one example see all of them.
    """
    random = np.random.default_rng([seed, OF_TARGETS])
    if loss.name in CLASS_LOSSES:
        return random.permutation((np.arange(batch) + seed * batch) % outputs).astype(np.int64)
    if loss.name == "bce-with-logits":
        return random.integers(0, 2, (batch, outputs)).astype(np.float32)
    return random.standard_normal((batch, outputs)).astype(np.float32)
