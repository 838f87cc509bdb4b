"""The PyTorch model that a recipe's `train` describes: what is exported, and what proves it.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy.typing as npt
import torch

from olive_build import rooms
from olive_build.errors import StepError
from olive_build.families.training_side import Arrays, TrainingSide
from olive_build.training.settings import Loss, Train
from olive_build.training.torch_batch_norm import Folded, fold_batch_norms
from olive_build.training.torch_freezing import Chosen, choose, plain_where_frozen
from olive_build.training.torch_head import not_the_last, with_head
from olive_build.training.torch_lora import add_lora
from olive_build.training.torch_loss import loss_function, seeded_targets
from olive_build.training.torch_names import listed
from olive_build.training.torch_rename import graph_names

BATCH = "batch_size"
# For an axis that is free: enough to see a batch, and little to compute.
FEW = 2


@dataclass(frozen=True)
class Trainable:
    """A model ready to be trained: `forward(model, *inputs)` gives logits [batch, outputs].

    The head is replaced, adapters are added, batch norms folded and requires_grad set. `inputs` and
    `output` are the family's names, in order; `names` are the graph's for them, and `axes` theirs,
    a number or a name where free. `batch` is the number of rows where that is fixed;
    `examples(batch, seed)` gives seeded inputs. `trainable` and `frozen` are names of parameters
    in the model's order; `patterns` say how many parameters each of `requires_grad` names.
    """

    model: torch.nn.Module
    forward: Callable[..., torch.Tensor]
    inputs: tuple[str, ...]
    output: str
    outputs: int
    names: dict[str, str]
    axes: dict[str, tuple[int | str, ...]]
    batch: int | None
    examples: Callable[[int, int], Arrays]
    trainable: tuple[str, ...]
    frozen: tuple[str, ...]
    patterns: dict[str, int]
    folded: Folded

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return the trained parameters by name."""
        own = dict(self.model.named_parameters())
        return {name: own[name] for name in self.trainable}

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> torch.Tensor:
        """Return the logits of arrays by the family's names of inputs."""
        return self.forward(self.model, *(torch.from_numpy(inputs[name]) for name in self.inputs))


def build(
    folder: Path, training: str, train: Train, shapes: Mapping[str, int] = MappingProxyType({})
) -> Trainable:
    """Return the model in `folder` as `train` describes it, the same whenever it is asked for.

    `training` is the family's module; `shapes` are the axes that are fixed. Raises StepError
    where a name or pattern of the recipe does not fit the model, and where a parameter that is
    to be trained has no effect on the loss.
    """
    side: TrainingSide = rooms.look_up(training).side
    model = side.load(folder, train.head.replace if train.head else None).eval()

    def examples(batch: int, seed: int) -> Arrays:
        return side.examples(folder, batch, shapes, seed)

    example = examples(shapes.get(BATCH, FEW), train.seed)
    values = [torch.from_numpy(example[name]) for name in side.inputs]
    run = partial(side.forward, model, *values)
    chosen, folded, adapters = _change(model, run, train)
    output = run()
    outputs = _outputs(list(output.shape), train)
    _check_gradients(model, output, train.loss, adapters)
    parameters = [name for name, _ in model.named_parameters()]
    return Trainable(
        model=model,
        forward=side.forward,
        inputs=side.inputs,
        output=side.output,
        outputs=outputs,
        names=graph_names(side.inputs, side.output, train, parameters),
        axes=_axes(side, shapes, example, outputs),
        batch=shapes.get(BATCH),
        examples=examples,
        trainable=chosen.trainable,
        frozen=chosen.frozen,
        patterns=chosen.patterns,
        folded=folded,
    )


def _change(
    model: torch.nn.Module, run: Callable[[], torch.Tensor], train: Train
) -> tuple[Chosen, Folded, tuple[str, ...]]:
    """Change the model as `train` says; return also the names of adapters' parameters."""
    head = train.head.replace if train.head else None
    if train.head is not None:
        with_head(model, train.head, train.seed, run)
    folded = fold_batch_norms(model, run)
    adapted = add_lora(model, train.lora, train.seed, head=head)
    gone = plain_where_frozen(model, train)
    chosen = choose(model, train, head=head, adapted=adapted, folded=folded, gone=gone)
    return chosen, folded, adapted.own


def _axes(
    side: TrainingSide, shapes: Mapping[str, int], example: Arrays, outputs: int
) -> dict[str, tuple[int | str, ...]]:
    """Return all axes of each input and the output; a family names the first ones of them."""
    named = side.axes(shapes)
    sizes = {name: example[name].shape for name in side.inputs} | {side.output: (0, outputs)}
    # What is not named has the size that every example has.
    return {name: (*named[name], *size[len(named[name]) :]) for name, size in sizes.items()}


def _outputs(shape: list[int], train: Train) -> int:
    """Return how many numbers the model gives a sample. Raises StepError where they do not fit."""
    if len(shape) != 2:
        raise StepError(
            f"the model's output has {len(shape)} axes",
            why=f"it is {shape}; a loss is taken of [batch, outputs]",
        )
    if train.head is not None and shape[1] != train.head.classes:
        why = (
            f"it has {train.head.classes} classes, and the model gives {shape[1]} numbers a sample"
        )
        raise not_the_last(train.head, why)
    if train.loss.name == "cross-entropy" and shape[1] < 2:
        raise StepError(
            "cross-entropy needs two classes at least",
            where="train.loss",
            why="the model gives one number a sample",
            hint="take `bce-with-logits`, or a head of two classes",
        )
    return shape[1]


def _check_gradients(
    model: torch.nn.Module, output: torch.Tensor, loss: Loss, adapters: tuple[str, ...]
) -> None:
    """Raise StepError for a parameter that is trained and that the loss does not depend on."""
    rows, outputs = output.shape
    target = torch.from_numpy(seeded_targets(loss, rows, outputs, seed=0))
    found = loss_function(loss, outputs)(output, target)
    if found.requires_grad:
        found.backward()  # type: ignore[no-untyped-call]
    without = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and value.grad is None
    ]
    model.zero_grad(set_to_none=True)
    if not without:
        return
    of_adapters = without[0] in adapters
    raise StepError(
        f"no gradient reaches '{without[0]}'",
        where="train.lora.modules" if of_adapters else "train.requires_grad",
        why=f"the model's output does not depend on {listed(without)}",
        hint="leave the layer out of `modules`: the model reads its weights past the layer"
        if of_adapters
        else f"put it in `frozen`: {listed(without)}",
    )
