"""Which tensors of a model its outputs depend on, found out by changing them.

Imported in worker processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from olive_build.errors import PlanError, first_line

# A model and its family's own inputs: the output, or several.
Run = Callable[[Any], Any]
# NaN spreads through sums and products, whatever they are of; a comparison swallows it, and sees
# another number.
FILLS = (float("nan"), 1.0)


def read_by_outputs(model: Any, run: Run, names: Iterable[str], most: int) -> tuple[list[str], int]:
    """Return the first `most` of the tensors that an output depends on, and how many may be.

    Each is filled with other values in turn, and `run` repeated; all are as they were afterwards.
    The count is of all but those that were found unread: what comes after the first `most` is not
    tried. Raises PlanError where the model does not run.
    """
    before = _outputs(model, run)
    tensors = model.state_dict(keep_vars=True)
    read: list[str] = []
    unread = 0
    rest = list(names)
    for name in rest:
        if len(read) == most:
            break
        if _is_read(model, run, tensors[name], before):
            read.append(name)
        else:
            unread += 1
    return read, len(rest) - unread


def _is_read(model: Any, run: Run, tensor: torch.Tensor, before: list[torch.Tensor]) -> bool:
    kept = tensor.detach().clone()
    fills = FILLS if tensor.is_floating_point() else FILLS[1:]
    try:
        return any(_differs(model, run, tensor, fill, before) for fill in fills)
    finally:
        with torch.no_grad():
            tensor.copy_(kept)


def _differs(
    model: Any, run: Run, tensor: torch.Tensor, fill: float, before: list[torch.Tensor]
) -> bool:
    with torch.no_grad():
        tensor.fill_(fill)
    try:
        after = _outputs(model, run)
    except PlanError:
        return True  # It ran with the other value: this one is looked at.
    return not all(
        torch.allclose(one, other, rtol=0, atol=0, equal_nan=True) and not bool(one.isnan().all())
        for one, other in zip(before, after, strict=True)
    )


def _outputs(model: Any, run: Run) -> list[torch.Tensor]:
    try:
        with torch.no_grad():
            found = run(model)
    except Exception as error:
        raise PlanError(
            "the model does not run on its family's inputs",
            why=f"a {type(model).__name__}: {type(error).__name__}: {first_line(error)}",
        ) from error
    return list(found) if isinstance(found, tuple | list) else [found]
