"""Inputs of a size, for timing: what is in them does not change how long a graph runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.families.transformers.task import Task


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
