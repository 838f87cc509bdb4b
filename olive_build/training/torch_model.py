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
from olive_build.errors import StepError, first_line
from olive_build.families.training_side import Arrays, TrainingSide
from olive_build.training.settings import Head, Loss, Train
from olive_build.training.torch_batch_norm import Folded, fold_batch_norms
from olive_build.training.torch_freezing import Chosen, choose, plain_where_frozen
from olive_build.training.torch_lora import add_lora
from olive_build.training.torch_loss import loss_function, seeded_targets
from olive_build.training.torch_names import graph_names, listed, near

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


WHERE = "train.head.replace"


def with_head(
    model: torch.nn.Module, head: Head, seed: int, run: Callable[[], torch.Tensor]
) -> None:
    """Replace the head, and run the model once to see that what comes after it takes its output.

    Raises StepError as `replace_head`, and where it does not.
    """
    linear = [name for name, item in model.named_modules() if isinstance(item, torch.nn.Linear)]
    replace_head(model, head, seed)
    try:
        with torch.no_grad():
            run()
    except (RuntimeError, ValueError, IndexError) as error:
        why = f"what follows does not take {head.classes} numbers: {first_line(error)}"
        raise not_the_last(head, why, linear[-1]) from error


def not_the_last(head: Head, why: str, last: str = "") -> StepError:
    """Return the error for a head whose place is within the model."""
    listed_last = f"; the last linear layer in the model's list is '{last}'" if last else ""
    return StepError(
        f"the new head '{head.replace}' is not the model's last layer",
        where=WHERE,
        why=why,
        hint=f"name the layer whose output are the model's logits{listed_last}",
    )


def replace_head(model: torch.nn.Module, head: Head, seed: int) -> None:
    """Put a new linear layer in the place of `head.replace`.

    Its weights are PyTorch's own for a new layer, drawn with `seed`, or zero; the configuration's
    classes follow. Raises StepError where there is no linear layer of that name.
    """
    old = _linear(model, head.replace)
    parent, _, own = head.replace.rpartition(".")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = torch.nn.Linear(old.in_features, head.classes, bias=old.bias is not None)
    if head.init == "zeros":
        torch.nn.init.zeros_(new.weight)
        if new.bias is not None:
            torch.nn.init.zeros_(new.bias)
    new.train(old.training)
    setattr(model.get_submodule(parent), own, new)
    _name_classes(getattr(model, "config", None), head)


def _linear(model: torch.nn.Module, name: str) -> torch.nn.Linear:
    modules = dict(model.named_modules())
    linear = [path for path, module in modules.items() if isinstance(module, torch.nn.Linear)]
    found = modules.get(name) if name else None
    if isinstance(found, torch.nn.Linear):
        return found
    if not linear:
        raise StepError(
            f"there is no linear layer to replace by a head of {name!r}",
            where=WHERE,
            why="the model has no torch.nn.Linear",
            hint="leave `head` out and train what the model has",
        )
    # The last layers are a head's place: they are shown where no name is near.
    shown = near(name, linear) or linear[-3:]
    if found is None:
        what, why = f"the model has no module '{name}'", "a head takes the place of a linear layer"
    else:
        what = f"'{name}' is no linear layer"
        why = f"it is a {type(found).__name__}, and a head takes the place of a torch.nn.Linear"
        shown = [path for path in linear if path.startswith(f"{name}.")] or shown
    raise StepError(what, where=WHERE, why=why, hint=f"linear layers near it: {listed(shown)}")


def _name_classes(config: Any, head: Head) -> None:
    if config is None:
        return
    # transformers derives num_labels of these two.
    config.id2label = dict(enumerate(head.labels))
    config.label2id = {label: index for index, label in enumerate(head.labels)}
