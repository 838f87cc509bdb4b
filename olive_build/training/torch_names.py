"""Names of a model: what a graph calls its ends, what to say of one that a model lacks."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from olive_build.errors import StepError
from olive_build.training.settings import CLASS_LOSSES, Loss, Train

NEAR = 3
# More groups than a person reads are cut; a model has a few, lists of layers inside them many.
LISTED = 12


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the names of `known` that `name` is most likely a slip of, the likeliest first.

    Wildcards of a shell pattern are left out of what is compared.
    """
    plain = "".join(character for character in name if character not in "*?[]")
    return difflib.get_close_matches(plain[:200], list(known), n=NEAR, cutoff=0.5)


def what_there_is(name: str, known: Sequence[str], what: str) -> str:
    """Return `near it: a, b; there is: c, d`, with the top-level groups of `known`.

    `what` names what is listed, such as `parameters`.
    """
    groups = dict.fromkeys(entry.partition(".")[0] for entry in known)
    found = near(name, known)
    if not found:
        # A pattern's start is a group's or a layer's name more often than a whole parameter's.
        prefixes = dict.fromkeys(prefix for entry in known for prefix in _prefixes(entry))
        found = near(name, prefixes)
    said = f"the nearest are {', '.join(found)}; " if found else ""
    return f"{said}its {what} are below {listed(groups)}"


def listed(names: Iterable[str]) -> str:
    """Return names as `a, b, c`, cut where there are too many, or `none`."""
    found = list(names)
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return (", ".join(found[:LISTED]) + more) or "none"


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


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
