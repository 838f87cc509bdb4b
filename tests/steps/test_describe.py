"""What a file is, read from its bytes, and as the package onnx reads it."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.steps.describe import describe

TYPES = [
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16),
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
    *(TensorProto.BOOL, TensorProto.STRING),
]


def branch(name: str, *weights: Any) -> onnx.GraphProto:
    node = helper.make_node("Relu", ["x"], [name])
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node], name, [], [value], weights)


def whole() -> onnx.ModelProto:
    """Return a model with branches, a function, weights of several forms, and every type."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    taken = [helper.make_tensor_value_info(f"t{kind}", kind, ["n", 2, None, 0]) for kind in TYPES]
    ready = helper.make_tensor_value_info("ready", TensorProto.BOOL, [])
    weights = [
        numpy_helper.from_array(np.ones((3, 4), np.float32), "w"),
        helper.make_tensor("scalar", TensorProto.FLOAT, [], [1.0]),
    ]
    inner = numpy_helper.from_array(np.ones(5, np.float32), "own")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node(
            "If", ["ready"], ["z"], then_branch=branch("a", inner), else_branch=branch("b")
        ),
        helper.make_node("Twice", ["y"], ["t"], domain="own"),
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    twice = helper.make_function(
        "own", "Twice", ["i"], ["o"], [helper.make_node("Add", ["i", "i"], ["o"])], opsets
    )
    outs = [helper.make_tensor_value_info("t", TensorProto.FLOAT, ["n", 4])]
    graph = helper.make_graph(nodes, "whole", [x, *taken, ready], outs, weights)
    return helper.make_model(graph, opset_imports=opsets, functions=[twice], ir_version=9)


def graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    inside = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return [graph, *(found for item in inside for found in graphs(item))]


def test_a_file_is_described_as_the_package_onnx_reads_it(tmp_path: Path) -> None:
    onnx.save(whole(), str(tmp_path / "model.onnx"))
    model = onnx.load(str(tmp_path / "model.onnx"))
    nodes = [node for graph in graphs(model.graph) for node in graph.node]
    nodes += [node for function in model.functions for node in function.node]
    counts = Counter((node.domain or "ai.onnx", node.op_type) for node in nodes)

    def told(value: Any) -> dict[str, Any]:
        tensor = value.type.tensor_type
        return {
            "name": value.name,
            "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(),
            "axes": [axis.dim_param or axis.dim_value for axis in tensor.shape.dim],
        }

    found = describe(tmp_path / "model.onnx")
    assert found["inputs"] == [told(value) for value in model.graph.input]
    assert found["outputs"] == [told(value) for value in model.graph.output]
    assert (found["ir_version"], found["opsets"]) == (9, {"ai.onnx": 18, "own": 1})
    pairs = {(domain, n): c for domain, held in found["operators"].items() for n, c in held.items()}
    assert pairs == dict(counts)
    stored = [tensor for graph in graphs(model.graph) for tensor in graph.initializer]
    assert found["stored_values"] == sum(prod(tensor.dims) for tensor in stored) == 12 + 1 + 5


@pytest.mark.parametrize("packed", [False, True])
def test_sizes_are_read_in_both_forms_of_protobuf(tmp_path: Path, packed: bool) -> None:
    """onnx.proto3, which some exporters write by, packs the sizes of a tensor."""
    sizes = b"\x0a\x03\x02\xac\x02" if packed else b"\x08\x02\x08\xac\x02"
    tensor = sizes + b"\x10\x01\x42\x01w"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    model = b"\x08\x08\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x12"
    (tmp_path / "model.onnx").write_bytes(model)
    assert list(onnx.load(str(tmp_path / "model.onnx")).graph.initializer[0].dims) == [2, 300]
    assert describe(tmp_path / "model.onnx")["stored_values"] == 600
