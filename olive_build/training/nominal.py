"""A nominal checkpoint, the same bytes at every run.

It has a place for one number of each parameter, and onnxruntime 1.19 writes there what happens to
lie in memory.
"""

from __future__ import annotations

from pathlib import Path

from olive_build.training.checkpoint_file import read_checkpoint


def clear_placeholders(path: Path) -> None:
    """Set the numbers that stand for parameters in a nominal checkpoint to zero."""
    found = read_checkpoint(path, writable=True)
    for tensor in (*found.trainable.values(), *found.frozen.values()):
        tensor.data[:] = 0
