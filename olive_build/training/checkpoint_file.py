"""A checkpoint's file, read and filled without the training runtime.

The tables are onnxruntime's own (onnxruntime/core/flatbuffers/schema/ort_training_checkpoint.fbs),
by the bindings that every onnxruntime carries.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError, first_line
from olive_build.training.steps_file import State

IDENTIFIER = b"ODTC"
FLOAT = 1  # onnx.TensorProto.FLOAT
# What reading bytes that are no such tables ends in.
DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError)
Array = npt.NDArray[Any]
Property = float | int | str


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in the file: its axes, and its bytes, a view of the file."""

    shape: tuple[int, ...]
    data: npt.NDArray[np.uint8]

    @property
    def is_whole(self) -> bool:
        """Whether there is a number for each element; a nominal checkpoint has one in all."""
        return self.data.size == 4 * prod(self.shape)

    def digest(self) -> str:
        """Return the SHA-256 of the bytes."""
        return hashlib.sha256(np.ascontiguousarray(self.data).data).hexdigest()

    def values(self) -> npt.NDArray[np.float32]:
        """Return the elements, a view of the file. Raises ValueError where there are others."""
        return self.data.view("<f4").reshape(self.shape)


@dataclass(frozen=True)
class CheckpointFile:
    """What a checkpoint holds by name; `moments` are the optimizer's, by parameter and kind."""

    nominal: bool
    trainable: Mapping[str, Stored]
    frozen: Mapping[str, Stored]
    moments: Mapping[str, Mapping[str, Stored]]
    properties: Mapping[str, Property]


def read_checkpoint(path: Path, *, writable: bool = False) -> CheckpointFile:
    """Return what a checkpoint holds, mapped and not read; a change of values changes the file.

    Raises StepError for a file that is none.
    """
    try:
        data = np.memmap(path, np.uint8, "r+" if writable else "r")
        if bytes(data[4:8]) != IDENTIFIER:
            raise ValueError("it does not begin as a checkpoint does")
        return _read(bindings("Checkpoint").Checkpoint.GetRootAs(data, 0), data.size)
    except (OSError, *DAMAGE) as error:
        raise StepError(
            f"{path.name} is no checkpoint, or is damaged",
            where=str(path),
            why=first_line(error),
            hint="build or download the bundle again",
        ) from error


def put_state(path: Path, state: State) -> None:
    """Overwrite trained parameters and moments in a checkpoint that the runtime saved.

    How many steps went before is what the runtime wrote. Moments that it did not write stay away,
    and the step goes wrong as it would on a device. Raises StepError where shapes differ, or a
    parameter is trained that PyTorch did not train.
    """
    found = read_checkpoint(path, writable=True)
    try:
        for name, stored in found.trainable.items():
            stored.values()[...] = state.parameter(name)
            for number, moment in enumerate(state.moments):
                if name in found.moments:
                    found.moments[name][f"momentum{number}"].values()[...] = moment(name)
    except (KeyError, ValueError) as error:
        raise StepError(
            "the recorded state of a step does not fit the checkpoint",
            where=path.name,
            why=f"{type(error).__name__}: {error}",
        ) from error


def _read(root: Any, size: int) -> CheckpointFile:
    state = root.ModuleState()
    if state is None:
        raise ValueError("it holds no parameters")
    if state.HasExternalData():
        raise ValueError("its parameters lie in another file")
    trainable = _tensors(state.RequiresGradParams, state.RequiresGradParamsLength(), size)
    frozen = _tensors(state.FrozenParams, state.FrozenParamsLength(), size)
    moments: dict[str, Mapping[str, Stored]] = {}
    for group in items(root.OptimizerGroups, root.OptimizerGroupsLength(), size):
        for held in items(group.OptimizerStates, group.OptimizerStatesLength(), size):
            name = held.ParamName().decode()
            moments[name] = _tensors(held.Momentums, held.MomentumsLength(), size)
    return CheckpointFile(
        bool(state.IsNominalState()), trainable, frozen, moments, _properties(root, size)
    )


def items(item: Any, count: int, size: int) -> Iterator[Any]:
    """Return the entries of a vector, whose count is believed where the file has room for it."""
    if not 0 <= 4 * count <= size:
        raise ValueError(f"it counts {count} entries in {size} bytes")
    return (item(index) for index in range(count))


def _tensors(item: Any, count: int, size: int) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for tensor in items(item, count, size):
        name = tensor.Name().decode()
        if name in found:
            raise ValueError(f"it holds `{name}` twice")
        if tensor.DataType() != FLOAT:
            raise ValueError(f"`{name}` is of type {tensor.DataType()}, not float32")
        dims = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
        raw = tensor.RawDataAsNumpy()
        data = raw if isinstance(raw, np.ndarray) else np.zeros(0, np.uint8)
        found[name] = Stored(tuple(int(dim) for dim in dims), data)
    return found


def _properties(root: Any, size: int) -> dict[str, Property]:
    bag = root.PropertyBag()
    if bag is None:
        return {}
    kinds = (
        (bag.Floats, bag.FloatsLength(), float),
        (bag.Ints, bag.IntsLength(), int),
        (bag.Strings, bag.StringsLength(), bytes.decode),
    )
    return {
        item.Name().decode(): convert(item.Value())
        for entries, count, convert in kinds
        for item in items(entries, count, size)
    }


def bindings(table: str) -> Any:
    """Return the module of a flatbuffer table of onnxruntime's, such as "Checkpoint"."""
    import_module("onnxruntime.tools.ort_format_model")  # makes the next one importable
    return import_module(f"ort_flatbuffers_py.fbs.{table}")
