"""optimizer_model.onnx, with the semantics and hyper-parameters of torch.optim.

onnxblock writes adam_mode 1, epsilon 1e-6 and no weight decay, which is another AdamW than
PyTorch's: losses differ by 1e-3 after 20 steps. It also stamps onnx's own newest IR version on the
file, which the runtime refuses when the file is loaded, on the device.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

from olive_build.training.settings import Optimizer

IR_VERSION = 10
# 0 decays the weights before the step, as torch.optim.AdamW does; 1 after it, as transformers did.
# onnxruntime: orttraining/training_ops/cpu/optimizer/adamw/adamwbase.h.
TORCH_MODE = 0
SEQUENCES = ("params", "gradients", "first_order_moments", "second_order_moments")


def optimizer_model(optimizer: Optimizer, opset: int, scale: float = 1.0) -> onnx.ModelProto:
    """Return the model of one optimizer step over sequences of parameters and gradients.

    The learning rate is an input, [1]: the runtime feeds what the client set, which the model
    multiplies by `scale`. `step` counts from 1.
    """
    inputs = [
        helper.make_tensor_value_info("learning_rate", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("step", TensorProto.INT64, [1]),
    ]
    sequences = SEQUENCES if optimizer.name == "adamw" else SEQUENCES[:3]
    inputs += [
        helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None) for name in sequences
    ]
    updated = helper.make_tensor_value_info("updated", TensorProto.BOOL, [1])
    nodes, constants = [_node(optimizer)], []
    if scale != 1:
        constants = [helper.make_tensor("rate_scale", TensorProto.FLOAT, [1], [scale])]
        nodes.insert(0, helper.make_node("Mul", ["learning_rate", "rate_scale"], ["rate"]))
        nodes[1].input[0] = "rate"
    graph = helper.make_graph(nodes, "optimizer", inputs, [updated], constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="olive-build"
    )


def _node(optimizer: Optimizer) -> onnx.NodeProto:
    if optimizer.name == "sgd":
        names = ["learning_rate", "params", "gradients"]
        return _microsoft("SGDOptimizerV2", names)
    return _microsoft(
        "AdamWOptimizer",
        ["learning_rate", "step", *SEQUENCES],
        alpha=optimizer.betas[0],
        beta=optimizer.betas[1],
        epsilon=optimizer.eps,
        weight_decay=optimizer.weight_decay,
        correct_bias=1,
        adam_mode=TORCH_MODE,
    )


def _microsoft(operator: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        operator, inputs, ["updated"], name=operator, domain="com.microsoft", **attributes
    )
