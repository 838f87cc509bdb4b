"""MatMul(x, Transpose(table)) -> Gemm(x, table, transB): one table for lookup and product, exact.

Language models read their words' vectors from the table that also gives the scores of the next
word. Exported, the product reads a transposed copy, which runtimes fold into a second table when
they load the file, and which quantizers do not take for a weight. Gemm reads the table as it lies.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.rule import Rewritten

SWAP = [1, 0]


def share_tied_weight(model: onnx.ModelProto) -> Rewritten:
    """Rewrite every product with the transpose of a stored table that a Gather reads too."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    turned = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose"
        and node.input[0] in stored
        and node.input[0] in looked_up
        and list(node.attribute[0].ints) == SWAP
    }
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in turned:
            table = stored[turned[node.input[1]]]
            nodes.extend(_product(graph, node, table))
            count += 1
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    if count:
        drop_dead(model)
    return Rewritten(count)


def _product(
    graph: onnx.GraphProto, node: onnx.NodeProto, table: onnx.TensorProto
) -> list[onnx.NodeProto]:
    """Return nodes that multiply x [..., size] by the table [words, size]: [..., words]."""
    words, size = table.dims
    name, x = node.name or node.output[0], node.input[0]
    flat, shape, leading, scores = (f"{name}/{part}" for part in ("flat", "shape", "lead", "rows"))
    constants = {f"{name}/to_rows": [-1, size], f"{name}/words": [words]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), key) for key, value in constants.items()
    )
    return [
        helper.make_node("Shape", [x], [leading], name=leading, start=0, end=-1),
        helper.make_node("Concat", [leading, f"{name}/words"], [shape], name=shape, axis=0),
        helper.make_node("Reshape", [x, f"{name}/to_rows"], [flat], name=flat),
        # It keeps the name, by which reports and `exclude` know it.
        helper.make_node("Gemm", [flat, table.name], [scores], name=name, transB=1),
        helper.make_node("Reshape", [scores, shape], [node.output[0]], name=f"{name}/unflat"),
    ]
