"""Labels as a loss takes them: numbers of classes, or numbers. numpy alone: no torch."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import UsageError
from olive_build.families.labelled_data import CLASS_LOSS, Labelled

BINARY_LOSS = "bce-with-logits"


def targets_of(
    found: Sequence[Labelled[Any]], labels: Sequence[str], loss: str, data: Path
) -> npt.NDArray[Any]:
    """Return the targets of examples: int64 [examples], or float32 [examples, outputs].

    `labels` name the bundle's classes in order, or its outputs. Raises UsageError for labels that
    are none of those, and where nothing can be learned from them.
    """
    if loss == CLASS_LOSS:
        return _classes(found, labels, data)
    rows = [_numbers(example, labels, loss) for example in found]
    return np.array(rows, np.float32)


def _classes(
    found: Sequence[Labelled[Any]], labels: Sequence[str], data: Path
) -> npt.NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(labels)}
    for example in found:
        if example.label not in numbers:
            raise _unknown(example, labels)
    present = {example.label for example in found}
    if len(present) == 1:
        raise UsageError(
            "the examples are all of one class",
            where=str(data),
            why=f"{len(found)} of {len(found)} are '{present.pop()}': what tells it from others "
            "cannot be learned",
            hint=f"add examples of {_listed([x for x in labels if x != found[0].label])}",
        )
    missing = [name for name in labels if name not in present]
    if missing:
        raise UsageError(
            f"{_count(missing, 'class has', 'classes have')} no examples: {_listed(missing)}",
            where=str(data),
            why="a model that goes on learning without a class unlearns it",
            hint="add examples, or build the bundle with a head of the classes that there are",
        )
    return np.array([numbers[example.label] for example in found], np.int64)


def _unknown(example: Labelled[Any], labels: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(example.label, labels, 1, 0.5)
    # Letters' case counts in the bundle, and is the usual slip.
    near = near or [name for name in labels if name.lower() == example.label.lower()]
    return UsageError(
        f"the bundle has no class '{example.label}'",
        where=example.where,
        why=f"its classes are {_listed(labels)}",
        hint=f"did you mean '{near[0]}'?" if near else None,
    )


def _numbers(example: Labelled[Any], labels: Sequence[str], loss: str) -> list[float]:
    """Return the numbers of a label, which are parted by blanks."""
    try:
        numbers = [float(part) for part in example.label.split()]
    except ValueError as error:
        raise UsageError(
            f"a label is no number: '{example.label}'",
            where=example.where,
            why=f"the bundle's loss is {loss}, which is given {_count(labels, 'number')}",
        ) from error
    if len(numbers) != len(labels):
        raise UsageError(
            f"a label has {_count(numbers, 'number')} in place of {len(labels)}: '{example.label}'",
            where=example.where,
            why=f"the model's outputs are {_listed(labels)}",
            hint="write them in that order with blanks in between",
        )
    if not np.isfinite(numbers).all():
        raise UsageError(f"a label is no finite number: '{example.label}'", where=example.where)
    if loss == BINARY_LOSS and not set(numbers) <= {0.0, 1.0}:
        raise UsageError(
            f"a label is neither 0 nor 1: '{example.label}'",
            where=example.where,
            why=f"the bundle's loss is {loss}: each output is true or not",
        )
    return numbers


def _count(items: Sequence[Any], one: str, many: str | None = None) -> str:
    return f"{len(items)} {one if len(items) == 1 else many or f'{one}s'}"


def _listed(names: Sequence[str], most: int = 12) -> str:
    """Return names with commas in between, the first ones where there are many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
