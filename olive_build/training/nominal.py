"""A nominal checkpoint, the same bytes at every run.

It has a place for one number of each parameter, and onnxruntime 1.19 writes there what happens to
lie in memory.
"""

from __future__ import annotations

from pathlib import Path

from olive_build.training.stored_tables import bindings


def clear_placeholders(path: Path) -> None:
    """Set the numbers that stand for parameters in a nominal checkpoint to zero."""
    data = bytearray(path.read_bytes())
    state = bindings("Checkpoint").Checkpoint.GetRootAs(data, 0).ModuleState()
    tensors = [state.RequiresGradParams(i) for i in range(state.RequiresGradParamsLength())]
    tensors += [state.FrozenParams(i) for i in range(state.FrozenParamsLength())]
    for tensor in tensors:
        tensor.RawDataAsNumpy()[:] = 0  # a view of `data`
    path.write_bytes(data)
