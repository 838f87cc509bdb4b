"""A new head: the linear layer that a recipe names gives way to one with other classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from olive_build.errors import StepError, first_line
from olive_build.training.settings import Head
from olive_build.training.torch_names import listed, near

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
