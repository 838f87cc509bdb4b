"""Whether a checkpoint is of the graphs that shall go on from it, asked before they load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from olive_build.errors import UsageError
from olive_build.training.runtime import training_runtime

MOST_TOLD = 5


def check_checkpoint(path: Path, trainable: Mapping[str, Sequence[int]]) -> None:
    """Raise UsageError unless the checkpoint trains the parameters of these names and shapes.

    The runtime itself blames a graph for it. A file that does not load is left to who loads it for
    training, and says why.
    """
    try:
        state = training_runtime().CheckpointState.load_checkpoint(str(path))
        found = {
            name: tuple(parameter.data.shape)
            for name, parameter in state.parameters
            if parameter.requires_grad
        }
    except RuntimeError:  # damaged, or a nominal one
        return
    problems = differences(found, {name: tuple(shape) for name, shape in trainable.items()})
    if problems:
        more = len(problems) - MOST_TOLD
        problems[MOST_TOLD:] = [f"and {more} more"] if more > 0 else []
        raise UsageError(
            "the checkpoint belongs to another bundle",
            where=str(path),
            why="\n".join(problems),
            hint="give the bundle that it was trained with, or leave --resume away and train this "
            "one anew",
        )


def differences(
    found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Return a line for each parameter that a checkpoint lacks, has otherwise, or has besides."""
    lines = []
    for name in sorted({*found, *wanted}):
        if name not in found:
            lines.append(f"`{name}` learns in the bundle, and is not in the checkpoint")
        elif name not in wanted:
            lines.append(f"`{name}` learns in the checkpoint, and not in the bundle")
        elif found[name] != wanted[name]:
            shapes = f"{list(found[name])} in the checkpoint and {list(wanted[name])} in the bundle"
            lines.append(f"`{name}` is {shapes}")
    return lines
