"""Concat(c1, ..., cn) -> c, where every ci is a stored tensor: exact.

Attention fusion packs the query, key and value weights with a Concat of three initializers. The
runtime would fold it at every load; a quantizer, which looks for weights that are initializers,
passes it by and leaves a third of the model in fp32.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from olive_build.rewrites.drop_dead import drop_unread_values
from olive_build.rewrites.rule import Rewritten


def fold_constant_concat(model: onnx.ModelProto) -> Rewritten:
    """Replace each Concat of initializers by one initializer; unused parts are dropped."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    keep: list[onnx.NodeProto] = []
    folded: list[onnx.TensorProto] = []
    for node in graph.node:
        if node.op_type == "Concat" and node.domain == "" and all(i in stored for i in node.input):
            axis = onnx.helper.get_node_attr_value(node, "axis")
            parts = [numpy_helper.to_array(stored[name]) for name in node.input]
            packed = np.ascontiguousarray(np.concatenate(parts, axis=axis))
            folded.append(numpy_helper.from_array(packed, node.output[0]))
        else:
            keep.append(node)
    if folded:
        del graph.node[:]
        graph.node.extend(keep)
        graph.initializer.extend(folded)
        drop_unread_values(graph)
    return Rewritten(len(folded))
