"""Graphs and the inputs to compare them on: read from files, or generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from olive_build.attribution.index import GraphIndex
from olive_build.errors import UsageError, first_line
from olive_build.onnx_files.models import read
from olive_build.untrusted import followed, read_npz

Feed = dict[str, npt.NDArray[Any]]

# How large a dimension without a fixed size is made: short sequences, so that samples are quick.
SMALLEST, LARGEST = 8, 32
# Where no table says how many ids there are.
IDS = 100
WORDS = "a river the stone walks under of light seven reads green with paper house to cold".split()


def load_graph(path: Path) -> onnx.ModelProto:
    """Return the model of a .onnx file with its weights.

    Raises UsageError when there is no such file or it is no ONNX model.
    """
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}",
            hint="give a bundle's folder, or two .onnx files: the fp32 one and the variant",
        )
    if path.suffix == ".ort":
        raise UsageError(
            f"{path.name} cannot be taken apart",
            where=str(path),
            why="an .ort file holds a graph that is already optimized for a runtime",
            hint="give the .onnx file that it was made from",
        )
    try:
        model = read(path)
    except Exception as error:
        raise UsageError(
            f"{path.name} is no ONNX model", where=str(path), why=first_line(error)
        ) from error
    if not model.graph.node:
        raise UsageError(
            f"{path.name} is no ONNX model", where=str(path), why="its graph has no nodes"
        )
    return model


def read_feeds(path: Path, model: onnx.ModelProto) -> list[Feed]:
    """Return the samples of an .npz file: `00000/name` for each, or `name` with samples stacked.

    Stacked arrays are cut along their first axis, which stays as a batch of 1. Raises UsageError
    when the file cannot be read or does not hold what the graph takes.
    """
    try:
        found = read_npz(followed(path))
    except OSError as error:
        raise UsageError(
            f"the inputs in {path.name} cannot be read",
            where=str(path),
            why=first_line(error),
            hint="write them with numpy.savez(file, input_name=array, ...)",
        ) from error
    feeds = _numbered(found) if any("/" in name for name in found) else _stacked(found, path)
    wanted = GraphIndex(model).inputs
    for feed in feeds or [{}]:
        missing = [name for name in wanted if name not in feed]
        if missing:
            raise UsageError(
                f"{path.name} has no '{missing[0]}'",
                where=str(path),
                why=f"the model takes {', '.join(wanted)}; "
                f"the file holds {', '.join(feed) or 'nothing'}",
            )
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    return [{name: _as_type(value, types.get(name)) for name, value in f.items()} for f in feeds]


def _numbered(arrays: dict[str, npt.NDArray[Any]]) -> list[Feed]:
    samples: dict[str, Feed] = {}
    for key, value in arrays.items():
        number, _, name = key.partition("/")
        samples.setdefault(number, {})[name] = value
    return [feed for _, feed in sorted(samples.items())]


def _stacked(arrays: dict[str, npt.NDArray[Any]], path: Path) -> list[Feed]:
    counts = {name: len(value) if value.ndim else 0 for name, value in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise UsageError(
            f"the inputs in {path.name} do not belong together",
            where=str(path),
            why="samples by input: " + ", ".join(f"{n} {count}" for n, count in counts.items()),
            hint="stack as many samples of every input along its first axis",
        )
    count = next(iter(counts.values()), 0)
    return [{n: value[i : i + 1] for n, value in arrays.items()} for i in range(count)]


def _as_type(value: npt.NDArray[Any], kind: int | None) -> npt.NDArray[Any]:
    """Return numbers in the type that the graph takes; text as the runtime takes it."""
    if kind == TensorProto.STRING:
        return value.astype(object)
    return value.astype(helper.tensor_dtype_to_np_dtype(kind)) if kind else value


def generated_feeds(model: onnx.ModelProto, count: int, *, seed: int = 0) -> list[Feed]:
    """Return `count` generated samples that fit the graph's inputs; equal for equal seeds.

    Ids stay within the table that they are looked up in, masks are 1, positions count up, segments
    are 0, floats are normal, text is a few words. Dimensions of one name get one size.
    """
    random = np.random.default_rng(seed)
    graph = GraphIndex(model)
    tables = _table_sizes(graph)
    values = [value for value in model.graph.input if value.name in graph.inputs]
    feeds = []
    for _ in range(count):
        sizes: dict[str, int] = {}
        feeds.append({v.name: _generated(v, random, sizes, tables.get(v.name)) for v in values})
    return feeds


def _generated(
    value: onnx.ValueInfoProto,
    random: np.random.Generator,
    sizes: dict[str, int],
    table: int | None,
) -> npt.NDArray[Any]:
    tensor = value.type.tensor_type
    shape = []
    for place, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value"):
            shape.append(dim.dim_value)
        elif place == 0:
            shape.append(1)
        else:
            # A dimension without a name is taken to be the one at its place elsewhere.
            name = dim.dim_param or f"axis {place}"
            shape.append(sizes.setdefault(name, int(random.integers(SMALLEST, LARGEST + 1))))
    if tensor.elem_type == TensorProto.STRING:
        texts = [" ".join(random.choice(WORDS, 6)) for _ in range(int(np.prod(shape)))]
        return np.array(texts, dtype=object).reshape(shape)
    kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return _numbers(value.name.lower(), shape, kind, random, table).astype(kind)


def _numbers(
    name: str,
    shape: Sequence[int],
    kind: np.dtype[Any],
    random: np.random.Generator,
    table: int | None,
) -> npt.NDArray[Any]:
    if "mask" in name or kind == np.bool_:
        return np.ones(shape)
    if np.issubdtype(kind, np.floating):
        return random.standard_normal(shape)
    if "token_type" in name or "segment" in name:
        return np.zeros(shape)
    if "position" in name and shape:
        return np.broadcast_to(np.arange(shape[-1]), shape).copy()
    if kind == np.uint8 and table is None:
        return random.integers(0, 256, shape)
    return random.integers(0, table or IDS, shape)


def _table_sizes(graph: GraphIndex) -> dict[str, int]:
    """Return, for each input that looks rows of a table up, how many rows the smallest one has."""
    sources = {name: name for name in graph.inputs}
    sizes: dict[str, int] = {}
    for node in graph.nodes:
        if node.op_type in ("Cast", "Identity", "Reshape", "Flatten") and node.input[0] in sources:
            sources[node.output[0]] = sources[node.input[0]]
        if node.op_type not in ("Gather", "GatherBlockQuantized") or len(node.input) < 2:
            continue
        table, ids = graph.constants.get(node.input[0]), sources.get(node.input[1])
        if table is not None and ids is not None and table.dims:
            sizes[ids] = min(sizes.get(ids, table.dims[0]), table.dims[0])
    return sizes
