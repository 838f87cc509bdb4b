"""The files of one model: its graph, and those beside it that hold its weights where it is large.

Beside `model.onnx` they are called `model.onnx_data`, `model.onnx_data_1` and so on, which is what
transformers.js fetches (src/utils/model-loader.js of huggingface/transformers.js 4.3.1).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from itertools import count, takewhile
from pathlib import Path

from olive_build.onnx_files.header import ExternalTensor, read_onnx
from olive_build.onnx_files.wire import DamagedFile
from olive_build.untrusted import plain_below


def data_name(graph: str, number: int) -> str:
    """Return how the file of weights with this number is called, from 0, by its graph's name."""
    return f"{graph}_data" + (f"_{number}" if number else "")


def data_names(graph: str, there: Collection[str]) -> tuple[str, ...]:
    """Return which of the names that are there hold the weights of a graph, in order."""
    names = (data_name(graph, number) for number in count())
    return tuple(takewhile(there.__contains__, names))


def files_of(graph: Path) -> list[Path]:
    """Return a model's files: the graph, and what holds its weights."""
    there = {path.name for path in graph.parent.glob("*")}
    return [graph, *(graph.with_name(name) for name in data_names(graph.name, there))]


def copy_model(graph: Path, folder: Path) -> Path:
    """Copy a model's files into a folder, under their names; return the path of the graph."""
    for path in files_of(graph):
        shutil.copyfile(path, folder / path.name)
    return folder / graph.name


def remove_model(graph: Path) -> None:
    """Remove a model's files, where there are some."""
    for path in files_of(graph):
        path.unlink(missing_ok=True)


def data_problem(graph: Path) -> str | None:
    """Return what is wrong with the place of an ONNX file's weights; None if nothing is.

    They are to be in plain files below the graph's folder, and to end within these. A file that is
    no ONNX model is a problem too. Nothing of the weights is read.
    """
    try:
        found = (_tensor_problem(graph.parent, item) for item in read_onnx(graph).external)
        return next((problem for problem in found if problem), None)
    except (DamagedFile, RecursionError) as error:
        return f"it is no whole ONNX file: {error}"


def _tensor_problem(folder: Path, tensor: ExternalTensor) -> str | None:
    where = f"the weights of {tensor.name!r:.100} at {tensor.location!r:.100}"
    try:
        size = plain_below(folder, tensor.location).stat().st_size
    except OSError as error:
        return f"{where}: {error.strerror or error}"
    end = tensor.offset + (tensor.length or 0)
    if tensor.offset < 0 or (tensor.length or 0) < 0 or end > size:
        return f"{where}: they go from byte {tensor.offset} to {end}, the file has {size}"
    return None
