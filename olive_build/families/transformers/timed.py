"""Inputs of a size, for timing: what is in them does not change how long a graph runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.families.transformers.task import Task

ZEROS = ("token_type_ids", "bbox")
OF_SAMPLES = "batch_size"


def feeds(inputs: Sequence[Any], size: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    """Return arrays for the inputs of a session; free axes but the batch's are `size` long."""
    random = np.random.default_rng(0)
    found: dict[str, npt.NDArray[Any]] = {}
    for value in inputs:
        shape = [_length(axis, size, batch) for axis in value.shape]
        if "int" in value.type or "bool" in value.type:
            kind = np.bool_ if "bool" in value.type else np.int64
            made: npt.NDArray[Any] = (
                np.zeros(shape, kind) if value.name in ZEROS else np.ones(shape, kind)
            )
        else:
            made = random.standard_normal(shape).astype("f2" if "16" in value.type else "f4")
        found[value.name] = made
    return found


def _length(axis: Any, size: int, batch: int) -> int:
    if isinstance(axis, int):
        return axis
    return batch if axis == OF_SAMPLES else size


def runner(folder: Path, model: Any, task: Task, size: int, batch: int) -> Callable[[], Any]:
    """Return a call that runs the network in PyTorch eager on inputs of that size."""
    import torch

    from olive_build.families.transformers.library import Library

    library = Library(folder, task, model)
    given = {}
    for name, array in library.record(library.examples[0]).feeds.items():
        wanted = [batch, *array.shape[1:]]
        for index in range(1, array.ndim):
            if task.axis(name, index) == "sequence_length":
                wanted[index] = size
        given[name] = torch.from_numpy(np.resize(array, wanted))

    def run() -> Any:
        with torch.inference_mode():
            return model(**given)

    return run
