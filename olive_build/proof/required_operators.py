"""Whether a required-operators config covers a graph: every operator and every type.

The format is that of onnxruntime's reduced builds (docs/Reduced_Operator_Kernel_build.md of
microsoft/onnxruntime): `domain;opset[,opset];Operator[{"inputs": {"0": ["float"]}}],...`
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

from olive_build.errors import BundleError
from olive_build.rewrites.clean import subgraphs

# onnx's names of the types that the config tracks -> C++ names, as onnxruntime writes them.
CPP_TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float",
    onnx.TensorProto.FLOAT16: "MLFloat16",
    onnx.TensorProto.DOUBLE: "double",
    onnx.TensorProto.INT8: "int8_t",
    onnx.TensorProto.UINT8: "uint8_t",
    onnx.TensorProto.INT16: "int16_t",
    onnx.TensorProto.UINT16: "uint16_t",
    onnx.TensorProto.INT32: "int32_t",
    onnx.TensorProto.UINT32: "uint32_t",
    onnx.TensorProto.INT64: "int64_t",
    onnx.TensorProto.UINT64: "uint64_t",
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.STRING: "std::string",
}
Operators = dict[tuple[str, str], dict[str, Any]]


def read_config(path: Path) -> Operators:
    """Return {(domain, operator): type restrictions} of a config; BundleError when malformed."""
    covered: Operators = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split(";", 2)
        if len(parts) != 3:
            raise BundleError(
                "the required-operators config is malformed",
                where=f"{path}:{number}",
                why="a line has the form domain;opsets;operators",
            )
        for operator, types in _operators(parts[2], path, number):
            covered[_domain(parts[0]), operator] = types
    return covered


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _operators(text: str, path: Path, number: int) -> list[tuple[str, dict[str, Any]]]:
    decoder = json.JSONDecoder()
    found = []
    position = 0
    while position < len(text):
        end = position
        while end < len(text) and text[end] not in ",{":
            end += 1
        name = text[position:end].strip()
        types: dict[str, Any] = {}
        if end < len(text) and text[end] == "{":
            try:
                types, end = decoder.raw_decode(text, end)
            except ValueError as error:
                raise BundleError(
                    "the required-operators config is malformed",
                    where=f"{path}:{number}",
                    why=f"the types of {name} are not JSON ({error})",
                ) from error
        if name:
            found.append((name, types))
        position = end + 1
    return found


def missing_from_config(model: onnx.ModelProto, config: Path) -> list[str]:
    """Return each operator of the graph, and each type at its ends, that `config` lacks.

    Types are compared where the config restricts them and the graph says them.
    """
    covered = read_config(config)
    missing: set[str] = set()
    for graph, types in _typed_graphs(model.graph, {}):
        for node in graph.node:
            domain = _domain(node.domain)
            restrictions = covered.get((domain, node.op_type))
            label = f"{domain or 'ai.onnx'}::{node.op_type}"
            if restrictions is None:
                missing.add(f"the operator {label}")
                continue
            for kind, names in (("inputs", node.input), ("outputs", node.output)):
                for index, name in enumerate(names):
                    allowed = restrictions.get(kind, {}).get(str(index))
                    actual = CPP_TYPES.get(types.get(name, 0))
                    if allowed is not None and actual and actual not in allowed:
                        missing.add(f"the type {actual} of {kind[:-1]} {index} of {label}")
    return sorted(missing)


def _typed_graphs(
    graph: onnx.GraphProto, around: Mapping[str, int]
) -> Iterator[tuple[onnx.GraphProto, dict[str, int]]]:
    """Yield the graph and every one below it, each with the types of the values that it sees.

    A name in a subgraph hides the same name around it: GreedySearch wants its int32 `input_ids`.
    """
    types = dict(around)
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        types[tensor.name] = tensor.data_type
    yield graph, types
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _typed_graphs(inner, types)
