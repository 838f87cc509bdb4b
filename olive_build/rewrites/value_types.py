"""What is known of a graph's values without running it: element types, shapes, small constants.

Shapes are inferred over a copy without the weights' contents: a model of 400 MB would otherwise be
held five times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

# Shapes, axes and limits have fewer elements; weights have more.
SMALL = 1024
FLOATS = frozenset(
    (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
)


@dataclass(frozen=True)
class ValueType:
    """The element type (a TensorProto.DataType) and the shape; None where an axis is free.

    `shape` itself is None where not even the number of axes is known.
    """

    element: int
    shape: tuple[int | None, ...] | None

    @property
    def floating(self) -> bool:
        """Whether the elements are floating point numbers, which alone have gradients."""
        return self.element in FLOATS


def value_types(model: onnx.ModelProto) -> dict[str, ValueType]:
    """Return what ONNX's shape inference knows of every tensor in the main graph.

    A value of which nothing is known is left out.
    """
    inferred = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
    found = {
        value.name: _of(value.type.tensor_type)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type
    }
    for tensor in model.graph.initializer:
        found[tensor.name] = ValueType(tensor.data_type, tuple(tensor.dims))
    return found


def constants(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Return the small stored values, of initializers and of Constant nodes, by name."""
    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if prod(tensor.dims) <= SMALL
    }
    for node in model.graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1:
            attribute = node.attribute[0]
            if attribute.name == "value":
                found[node.output[0]] = numpy_helper.to_array(attribute.t)
            elif attribute.name in ("value_float", "value_floats"):
                found[node.output[0]] = np.array(helper.get_attribute_value(attribute), np.float32)
            elif attribute.name in ("value_int", "value_ints"):
                found[node.output[0]] = np.array(helper.get_attribute_value(attribute), np.int64)
    return found


def attribute_of(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute, or `default` where it has none of that name."""
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def replace_nodes(
    graph: onnx.GraphProto, replacements: Mapping[int, Iterable[onnx.NodeProto]]
) -> None:
    """Put other nodes, or none, in the places of those at the given positions."""
    nodes = list(graph.node)
    kept = [new for index, node in enumerate(nodes) for new in replacements.get(index, (node,))]
    del graph.node[:]
    graph.node.extend(kept)


def name_of(node: onnx.NodeProto) -> str:
    """Return what messages call a node: its name, or its first output where it has none."""
    return node.name or next(iter(node.output), node.op_type)


def fresh_name(graph: onnx.GraphProto, wanted: str) -> str:
    """Return `wanted`, numbered where the graph has a value of that name."""
    used = {tensor.name for tensor in graph.initializer}
    used.update(value.name for value in graph.input)
    used.update(name for node in graph.node for name in node.output)
    name, number = wanted, 1
    while name in used:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _of(tensor: onnx.TypeProto.Tensor) -> ValueType:
    if not tensor.HasField("shape"):
        return ValueType(tensor.elem_type, None)
    dims = (dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return ValueType(tensor.elem_type, tuple(dims))


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    bare = onnx.ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    graph = model.graph
    bare.graph.name = graph.name
    bare.graph.node.extend(graph.node)
    bare.graph.output.extend(graph.output)
    bare.graph.value_info.extend(graph.value_info)
    given = {value.name for value in graph.input}
    bare.graph.input.extend(graph.input)
    for tensor in graph.initializer:
        if prod(tensor.dims) <= SMALL:
            bare.graph.initializer.append(tensor)
        elif tensor.name not in given:
            bare.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return bare
