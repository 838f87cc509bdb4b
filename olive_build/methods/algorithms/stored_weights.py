"""Find the weights that a quantizer has stored as integers, with the grid that each is on.

Known are MatMulInteger and ConvInteger (dynamic quantization), MatMul, Gemm and Conv behind a
DequantizeLinear (static quantization, weights alone), and com.microsoft MatMulNBits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.methods.algorithms.gptq import Floats, Grid, Integers
from olive_build.methods.algorithms.layouts import Blocks, Filters, Layout, Matrix, block_grid
from olive_build.rewrites.value_types import attribute_of


@dataclass(frozen=True)
class StoredWeight:
    """One stored tensor and the nodes that multiply with it."""

    nodes: tuple[str, ...]
    tensor: onnx.TensorProto
    layout: Layout
    scale: Floats  # [groups, outputs]
    zero: Floats  # [groups, outputs]
    block: int | None  # inputs of a group; None: all of them

    def read(self) -> tuple[Integers, Grid]:
        """Return the integers [inputs, outputs] and their grid.

        The grid goes no further than the integers that are in use: a quantizer that keeps to
        seven bits for the sake of an accumulator has its reason.
        """
        integers = self.layout.read(numpy_helper.to_array(self.tensor))
        inputs, outputs = integers.shape
        group = np.arange(inputs) // (self.block or inputs)
        shape = (group[-1] + 1, outputs)
        scale, zero = (np.broadcast_to(part, shape) for part in (self.scale, self.zero))
        return integers, Grid(scale, zero, group, int(integers.min()), int(integers.max()))

    def write(self, integers: Integers) -> None:
        """Store `integers` [inputs, outputs] in the graph."""
        stored = self.layout.write(integers, numpy_helper.to_array(self.tensor))
        self.tensor.CopyFrom(numpy_helper.from_array(stored, self.tensor.name))


@dataclass(frozen=True)
class _Graph:
    """What is looked up while weights are sought."""

    tensors: Mapping[str, onnx.TensorProto]
    producers: Mapping[str, onnx.NodeProto]
    consumers: Mapping[str, list[onnx.NodeProto]]

    def array(self, name: str) -> Any:
        tensor = self.tensors.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)


def stored_weights(model: onnx.ModelProto) -> tuple[list[StoredWeight], dict[str, str]]:
    """Return the stored weights in the order of the graph, and why others are left alone.

    The second maps a node's name to the reason. A weight that two nodes share is one entry.
    """
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    graph = _Graph(
        {tensor.name: tensor for tensor in model.graph.initializer},
        {name: node for node in model.graph.node for name in node.output},
        consumers,
    )
    found: dict[str, StoredWeight] = {}
    declined: dict[str, str] = {}
    for node in model.graph.node:
        weight = _stored_weight(node, graph)
        if isinstance(weight, str):
            declined[node.name] = weight
        elif weight is not None:
            known = found.get(weight.tensor.name)
            nodes = (*(known.nodes if known else ()), node.name)
            found[weight.tensor.name] = StoredWeight(
                nodes, weight.tensor, weight.layout, weight.scale, weight.zero, weight.block
            )
    return list(found.values()), declined


def _stored_weight(node: onnx.NodeProto, graph: _Graph) -> StoredWeight | str | None:
    match node.op_type:
        case "MatMulInteger" | "ConvInteger":
            return _of_integer_product(node, graph)
        case "MatMul" | "Gemm" | "Conv":
            source = graph.producers.get(node.input[1])
            if source is None or source.op_type != "DequantizeLinear":
                return None
            return _of_dequantized(node, source, graph)
        case "MatMulNBits":
            return _of_blocks(node, graph)
    return None


def _of_integer_product(node: onnx.NodeProto, graph: _Graph) -> StoredWeight | str | None:
    tensor = graph.tensors.get(node.input[1])
    if tensor is None:
        return None  # a product of two activations
    scale = _scale_behind(node, graph)
    if scale is None:
        return "the scale of its weight was not found behind it"
    zero = graph.array(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    return _weight(node, tensor, np.asarray(scale), zero)


def _scale_behind(node: onnx.NodeProto, graph: _Graph) -> Any:
    """Return the constant in product -> Cast -> Mul(_, Mul(scale of the input, constant))."""
    for cast in graph.consumers.get(node.output[0], ()):
        for rescaled in graph.consumers.get(cast.output[0], ()):
            for name in rescaled.input:
                scales = graph.producers.get(name)
                if rescaled.op_type != "Mul" or scales is None or scales.op_type != "Mul":
                    continue
                known = [graph.array(part) for part in scales.input if part in graph.tensors]
                if len(known) == 1:
                    return known[0]
    return None


def _of_dequantized(
    node: onnx.NodeProto, source: onnx.NodeProto, graph: _Graph
) -> StoredWeight | str | None:
    tensor = graph.tensors.get(source.input[0])
    if tensor is None:
        return None
    attributes = {a.name: helper.get_attribute_value(a) for a in source.attribute}
    if attributes.get("block_size"):
        return "its weight is dequantized in blocks"
    scale = graph.array(source.input[1])
    zero = graph.array(source.input[2]) if len(source.input) > 2 and source.input[2] else None
    if scale is None:
        return "the scale of its weight is computed"
    outputs_axis = 0 if node.op_type == "Conv" or attribute_of(node, "transB", 0) else 1
    axis = attributes.get("axis", 1) % len(tensor.dims)
    if np.size(scale) > 1 and axis != outputs_axis:
        return f"its scales run along axis {axis}, not along the outputs"
    return _weight(node, tensor, scale, zero)


def _weight(
    node: onnx.NodeProto, tensor: onnx.TensorProto, scale: Any, zero: Any
) -> StoredWeight | str:
    """Return a StoredWeight with one scale or one per output, or why there is none."""
    if tensor.data_type not in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        return f"its weight is {onnx.TensorProto.DataType.Name(tensor.data_type)}"
    convolution = node.op_type in ("Conv", "ConvInteger")
    if convolution and attribute_of(node, "group", 1) != 1:
        return "it is a grouped convolution, with few inputs for each output"
    if len(tensor.dims) != (4 if convolution else 2):
        return f"its weight has {len(tensor.dims)} axes"
    if attribute_of(node, "transA", 0):
        return "its input is transposed"
    layout: Layout = Filters() if convolution else Matrix(bool(attribute_of(node, "transB", 0)))
    scale = np.asarray(scale, np.float32).reshape(1, -1)
    zero = np.zeros_like(scale) if zero is None else np.asarray(zero, np.float32).reshape(1, -1)
    return StoredWeight((), tensor, layout, scale, zero, None)


def _of_blocks(node: onnx.NodeProto, graph: _Graph) -> StoredWeight | str | None:
    if len(node.input) > 4 and node.input[4]:
        return "its blocks are reordered by a group index"
    tensor, scales = graph.tensors.get(node.input[1]), graph.array(node.input[2])
    if tensor is None or scales is None:
        return None
    if any(reader.op_type != node.op_type for reader in graph.consumers[tensor.name]):
        return "its blocks are looked up as a table too"
    bits, block = attribute_of(node, "bits", 4), attribute_of(node, "block_size", 0)
    if bits not in (4, 8):
        return f"its weight has {bits} bits"
    zeros = graph.array(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    outputs, blocks = tensor.dims[0], tensor.dims[1]
    scale, zero = block_grid(scales, zeros, bits, outputs, blocks)
    return StoredWeight((), tensor, Blocks(bits, attribute_of(node, "K", 0)), scale, zero, block)
