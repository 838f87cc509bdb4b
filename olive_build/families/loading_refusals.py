"""Why a model's files do not make the model: what is said of tensors that do not fit.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError

MOST_NAMED = 5
WHOLE = "copy or download the model again, or save it again with save_pretrained"


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Return the first names in a row, and dots for the others."""
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def counted(count: int, middle: str, text: str) -> str:
    """Return a sentence about tensors, with its verb in the number of them."""
    return f"1 tensor {middle} is {text}" if count == 1 else f"{count} tensors {middle} are {text}"


def lacking(
    model: Any,
    named: Sequence[str],
    count: int,
    unexpected: Sequence[str],
    folder: Path,
    head: str | None,
) -> PlanError:
    """Return the error for tensors that outputs read and that the files do not have.

    `named` are some of the `count` ones, in the model's order.
    """
    shown = ", ".join(named[:MOST_NAMED]) + (" ..." if count > MOST_NAMED else "")
    what = f"{counted(count, 'of the model', 'not in its files')}: {shown}"
    if unexpected:
        what += f"; {len(unexpected)} in the files are of no use: {listed(unexpected)}"
    return PlanError(
        what,
        where=str(folder),
        why=f"config.json makes a {type(model).__name__}, and its outputs read what is missing; "
        "transformers would draw it at random",
        hint=_remedy(model, named, unexpected, head),
    )


def _remedy(model: Any, named: Sequence[str], unexpected: Sequence[str], head: str | None) -> str:
    prefix = _other_prefix(model, unexpected)
    if prefix:
        return (
            f"they were saved inside another model, under '{prefix}': save that part by itself, "
            f"`model.{prefix.rstrip('.')}.save_pretrained(...)`"
        )
    scores = model.get_output_embeddings()
    if scores is not None and named and model.state_dict(keep_vars=True)[named[0]] is scores.weight:
        return (
            "if the table of the words scores them too, config.json has to say "
            f"`tie_word_embeddings: true`; else {WHOLE}"
        )
    name = type(model).__name__
    base = f"{model.base_model_prefix}."
    if model.base_model is model or any(item.startswith(base) for item in named):
        return WHOLE
    if head is not None:
        return (
            f"`train.head` replaces '{head}' alone: load the folder as {name} once and save it "
            "with save_pretrained, so that the other layers are in its files"
        )
    layer = named[-1].rpartition(".")[0]
    return (
        f"the files have no head: declare a new one in a recipe that trains, `train: {{head: "
        f"{{replace: {layer}, classes: ...}}}}`, or take the files of a trained {name}"
    )


def _other_prefix(model: Any, unexpected: Sequence[str]) -> str | None:
    """Return the prefix that all of the unexpected names have and the model's own do not."""
    first = unexpected[0].split(".") if unexpected else []
    own = set(model.state_dict())
    own |= {name.removeprefix(f"{model.base_model_prefix}.") for name in own}
    for length in range(1, len(first)):
        prefix = ".".join(first[:length]) + "."
        within = [name.removeprefix(prefix) for name in unexpected if name.startswith(prefix)]
        if any(name in own for name in within):
            return prefix
    return None


def of_other_shapes(mismatched: Mapping[str, tuple[Any, Any]], folder: Path) -> PlanError:
    """Return the error for tensors of other shapes; by name, the file's shape and the model's."""
    rows = [f"{name} {list(a)} for {list(b)}" for name, (a, b) in mismatched.items()]
    return PlanError(
        f"{counted(len(rows), 'in the files', 'of another shape than config.json makes')}: "
        f"{listed(rows)}",
        where=str(folder),
        why="transformers would draw them at random in the shape of config.json",
        hint="correct the sizes in config.json, such as the number of classes in `id2label`, or "
        "save the model again with save_pretrained",
    )


def too_many(model: Any, names: Sequence[str], folder: Path) -> PlanError:
    """Return the error for layers that the files have and the model has not."""
    return PlanError(
        f"{counted(len(names), 'in the files', 'of layers that the model does not have')}: "
        f"{listed(names)}",
        where=str(folder),
        why=f"config.json makes a {type(model).__name__} with fewer layers of that kind",
        hint="correct the number of layers in config.json, such as `num_hidden_layers`, or save "
        "the model again with save_pretrained",
    )


def within_layers(model: Any, names: Sequence[str], folder: Path) -> PlanError:
    """Return the error for parts of layers that the files have and the class has not."""
    return PlanError(
        f"{counted(len(names), 'in the files', 'of parts that its layers do not have')}: "
        f"{listed(names)}",
        where=str(folder),
        why=f"config.json makes a {type(model).__name__}, and the model that was saved computed "
        "more in these layers",
        hint="merge adapters into the model before it is saved, or correct config.json",
    )
