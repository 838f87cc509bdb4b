"""What is trained on the device and how: plain values that a recipe is resolved to.

Imports nothing, so that the environment of onnxruntime-training can read them too.
"""

from __future__ import annotations

from typing import Literal

from olive_build.values import dataclass

# What onnxruntime's optimizers begin with.
RUNTIME_RATE = 0.001
# The checkpoint's property that holds the recipe's rate; the runtime begins with 0.001 otherwise.
LEARNING_RATE = "learning_rate"
# By what the optimizer model multiplies the rate that a client sets; there where it is not 1.
RATE_SCALE = "rate_scale"
LossName = Literal["cross-entropy", "mse", "bce-with-logits", "l1"]
# What the loss is given beside the model's output: class numbers, or numbers of the output's shape.
CLASS_LOSSES = ("cross-entropy",)


@dataclass(frozen=True)
class Head:
    """The linear layer named `replace` gives way to a new one with as many outputs.

    `labels` name the classes in order; they are as many as `classes`. The new layer begins as
    PyTorch begins one, seeded, or at zero.
    """

    replace: str
    classes: int
    labels: tuple[str, ...]
    init: Literal["random", "zeros"] = "random"


@dataclass(frozen=True)
class Lora:
    """Linear layers whose names match `modules` get a trainable low-rank term beside them.

    W x + alpha / rank * B A x, with A [rank, in] random and B [out, rank] zero (Hu et al. 2021,
    "LoRA: Low-Rank Adaptation of Large Language Models").
    """

    modules: tuple[str, ...]
    rank: int
    alpha: float


@dataclass(frozen=True)
class Loss:
    """What is minimized, averaged over the batch as PyTorch does it by default.

    `class_weights` are cross-entropy's, one a class, or none. `output` is the model's output that
    the loss is taken of; None for its last.
    """

    name: LossName
    class_weights: tuple[float, ...] = ()
    output: str | None = None


@dataclass(frozen=True)
class Optimizer:
    """How parameters follow their gradients, as torch.optim.AdamW or torch.optim.SGD does.

    `betas`, `eps` and `weight_decay` are AdamW's; SGD has the learning rate alone, since
    onnxruntime's has neither momentum nor decay.
    """

    name: Literal["adamw", "sgd"]
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Train:
    """The whole of it; shell patterns are matched against the names of the model's parameters.

    What matches `requires_grad` and not `frozen` is trained, and so are a new head's and LoRA's
    own parameters. `rename` gives the graph's inputs and outputs other names. `batch_size` and
    `epochs` are what training on the desktop and the README begin with.
    """

    requires_grad: tuple[str, ...]
    frozen: tuple[str, ...]
    head: Head | None
    lora: Lora | None
    loss: Loss
    optimizer: Optimizer
    rename: tuple[tuple[str, str], ...]
    batch_size: int
    epochs: int
    seed: int
    nominal_checkpoint: bool
