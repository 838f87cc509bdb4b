"""An integer exponent becomes one of its base's type: exact.

The gradient of Pow subtracts one from the exponent and expects the base's type:
`Type parameter (T) of Optype (Sub) bound to different types`. Operator: Pow, opset 13.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.gradient_paths import GradientPaths, gradient_paths
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import constants, fresh_name, name_of

EXPONENT = 1


def float_exponent(model: onnx.ModelProto, trainable: Collection[str]) -> Rewritten:
    """Store the integer exponent of every Pow that a gradient goes through as its base's type."""
    paths = gradient_paths(model, trainable)
    stored = constants(model)
    count = 0
    declined = []
    for node in model.graph.node:
        if not integer_exponent(node, paths):
            continue
        base = paths.types.get(node.input[0])
        if node.input[EXPONENT] not in stored or base is None:
            declined.append(f"{name_of(node)}: its exponent is computed, or its type not known")
            continue
        value = stored[node.input[EXPONENT]].astype(helper.tensor_dtype_to_np_dtype(base.element))
        name = fresh_name(model.graph, f"{node.output[0]}_exponent")
        model.graph.initializer.append(numpy_helper.from_array(value, name))
        node.input[EXPONENT] = name
        count += 1
    return Rewritten(count, tuple(declined))


def integer_exponent(node: onnx.NodeProto, paths: GradientPaths) -> bool:
    """Whether this is a Pow that a gradient goes through, to a power that is an integer."""
    if node.op_type != "Pow" or not paths.trained(node):
        return False
    exponent = paths.types.get(node.input[EXPONENT])
    return exponent is not None and not exponent.floating
