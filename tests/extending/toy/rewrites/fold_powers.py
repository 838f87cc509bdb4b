"""A toy: a product's factor that is a power of two goes into its weight: exact in fp32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import constants, name_of


def fold_powers(model: onnx.ModelProto) -> Rewritten:
    """Multiply weights of MatMul in place of what they give, where that is by a power of two."""
    graph = model.graph
    stored = constants(model)
    made = {node.output[0]: node for node in graph.node if node.op_type == "MatMul"}
    count, declined = 0, []
    for node in [item for item in graph.node if item.op_type == "Mul"]:
        product, factor = made.get(node.input[0]), stored.get(node.input[1])
        if product is None or factor is None or factor.size != 1:
            continue
        if abs(np.frexp(float(factor))[0]) != 0.5:
            declined.append(f"{name_of(node)}: {float(factor):g} is no power of two")
            continue
        weight = next(item for item in graph.initializer if item.name == product.input[1])
        scaled = numpy_helper.to_array(weight) * factor.reshape(())
        weight.CopyFrom(numpy_helper.from_array(scaled, weight.name))
        product.output[0] = node.output[0]
        graph.node.remove(node)
        count += 1
    return Rewritten(count, tuple(declined))
