"""How a graph for training calls its inputs and outputs, and where that cannot be."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from olive_build.errors import StepError
from olive_build.training.settings import CLASS_LOSSES, Loss, Train
from olive_build.training.torch_names import listed

WHERE = "train.rename"
# What the training graph calls the loss.
LOSS_VALUE = "loss"


def target_name(loss: Loss) -> str:
    """Return what the loss's own input is called, as onnxruntime's onnxblock calls it."""
    return "labels" if loss.name in CLASS_LOSSES else "target"


def graph_names(
    inputs: Sequence[str], output: str, train: Train, parameters: Collection[str]
) -> dict[str, str]:
    """Return the graph's name of each of the family's inputs and of its output, after `rename`.

    Raises StepError for a name that is not the family's, for one that is taken, such as by one of
    the `parameters`, and where the loss is taken of another output.
    """
    names = {name: name for name in (*inputs, output)}
    for old, new in train.rename:
        if old not in names:
            raise StepError(
                f"the model has no input or output '{old}' to rename",
                where=WHERE,
                why=f"it has the inputs {listed(inputs)} and the output {output}",
            )
        names[old] = new
    taken = {*parameters, target_name(train.loss), LOSS_VALUE}
    for new in names.values():
        if new in taken:
            raise StepError(
                f"the name '{new}' is taken",
                where=WHERE,
                why="inputs, the output, parameters, the loss and its own input "
                f"'{target_name(train.loss)}' need names of their own",
                hint="choose another name",
            )
        taken.add(new)
    if train.loss.output not in (None, names[output]):
        raise StepError(
            f"the loss is taken of '{train.loss.output}', which the model does not give",
            where="train.loss.output",
            why=f"its output is '{names[output]}'",
            hint="leave `output` out, or name that",
        )
    return names
