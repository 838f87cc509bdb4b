"""Gemm(x, weight, bias) -> MatMul(x, weight) + bias: exact, and what quantizers of weights know.

An exporter writes Gemm where a layer's input has two axes, as in OPT's feed-forward layers.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.rule import Rewritten


def gemm_as_matmul(model: onnx.ModelProto) -> Rewritten:
    """Rewrite every Gemm with a stored weight that nobody else reads; say why others stay.

    The product keeps the node's name. A weight that is stored transposed is turned.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    nodes: list[onnx.NodeProto] = []
    declined: list[str] = []
    count = 0
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[1] not in stored:
            nodes.append(node)
        elif why := _unlike(node, readers):
            declined.append(f"{node.name}: {why}")
            nodes.append(node)
        else:
            nodes.extend(_product(node, stored[node.input[1]]))
            count += 1
    del graph.node[:]
    graph.node.extend(nodes)
    return Rewritten(count, tuple(declined))


def _unlike(node: onnx.NodeProto, readers: dict[str, int]) -> str:
    """Return what makes a Gemm more than a product and a sum, or nothing."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
        return "it scales what it multiplies or adds"
    if attributes.get("transA", 0):
        return "its input is transposed"
    return "another node reads its weight" if readers[node.input[1]] > 1 else ""


def _product(node: onnx.NodeProto, weight: onnx.TensorProto) -> list[onnx.NodeProto]:
    if next((a.i for a in node.attribute if a.name == "transB"), 0):
        turned = np.ascontiguousarray(numpy_helper.to_array(weight).T)
        weight.CopyFrom(numpy_helper.from_array(turned, weight.name))
    biased = len(node.input) > 2 and node.input[2] != ""
    product = f"{node.output[0]}/product" if biased else node.output[0]
    made = [helper.make_node("MatMul", list(node.input[:2]), [product], name=node.name)]
    if biased:
        name = f"{node.name or node.output[0]}/bias"
        made.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=name))
    return made
