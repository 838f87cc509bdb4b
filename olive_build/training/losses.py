"""Losses as graph nodes, with PyTorch's values and gradients.

onnxblock has blocks of these names. Its cross entropy takes no class weights ("the truth value of
an array is ambiguous") and its BCE with logits is log(sigmoid(x)), infinite from x = -104 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.errors import StepError
from olive_build.training.settings import CLASS_LOSSES, Loss

LOSS = "loss"


def chosen_output(loss: Loss, outputs: Sequence[str]) -> str:
    """Return the name of the output that the loss is taken of: the named one, or the last.

    Raises StepError when the graph has no such output.
    """
    if loss.output is None:
        return outputs[-1]
    if loss.output not in outputs:
        raise StepError(
            f"the loss is taken of `{loss.output}`, which is no output of the model",
            hint=f"write one of {', '.join(outputs)}, or leave `output` out for the last",
        )
    return loss.output


def add_loss(model: onnx.ModelProto, loss: Loss, target: Mapping[str, Any]) -> str:
    """Put the loss, averaged over its elements, on top of a model's output; return its name.

    `target` is a training.json's: name, type and axes of the input that is appended for what the
    output is compared with. The loss is a scalar. Raises StepError when the output does not exist,
    or has not as many classes as there are weights.
    """
    graph = model.graph
    output = chosen_output(loss, [value.name for value in graph.output])
    if any(LOSS in node.output for node in graph.node):
        raise StepError(
            f"a value of the model is called `{LOSS}`, as the loss is",
            hint="give the model's output another name with `train: rename`",
        )
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(target["type"]))
    graph.input.append(
        helper.make_tensor_value_info(target["name"], elem_type, list(target["axes"]))
    )
    if loss.name in CLASS_LOSSES:
        _cross_entropy(graph, output, target["name"], loss.class_weights)
    else:
        elements = {"mse": _squares, "bce-with-logits": _binary, "l1": _distances}[loss.name]
        element = elements(graph, output, target["name"])
        _add(graph, "ReduceMean", [element], LOSS, keepdims=0)
    return LOSS


def _add(
    graph: onnx.GraphProto, operator: str, inputs: Sequence[str], output: str, **attributes: Any
) -> str:
    node = helper.make_node(operator, list(inputs), [output], name=f"{output}_node", **attributes)
    graph.node.append(node)
    return output


def _constant(graph: onnx.GraphProto, name: str, values: Any) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
    return name


def _cross_entropy(
    graph: onnx.GraphProto, logits: str, labels: str, weights: Sequence[float]
) -> None:
    """Mean of -w[y] log softmax(x)[y] divided by the mean of w[y], as torch.nn.CrossEntropyLoss."""
    inputs = [logits, labels]
    if weights:
        _check_classes(graph, logits, len(weights))
        inputs.append(_constant(graph, "loss.class_weights", weights))
    node = helper.make_node(
        "SoftmaxCrossEntropyLoss",
        inputs,
        [LOSS, "loss.log_probabilities"],
        name="loss_node",
        reduction="mean",
    )
    graph.node.append(node)


def _check_classes(graph: onnx.GraphProto, logits: str, weights: int) -> None:
    dims = next(v for v in graph.output if v.name == logits).type.tensor_type.shape.dim
    classes = dims[-1].dim_value if dims else 0
    if classes and classes != weights:
        raise StepError(
            f"there are {weights} class weights for {classes} classes",
            where=f"the output `{logits}`",
            hint="write one weight for each class in `loss: class_weights`",
        )


def _squares(graph: onnx.GraphProto, output: str, target: str) -> str:
    difference = _add(graph, "Sub", [output, target], "loss.difference")
    return _add(graph, "Mul", [difference, difference], "loss.squares")


def _distances(graph: onnx.GraphProto, output: str, target: str) -> str:
    difference = _add(graph, "Sub", [output, target], "loss.difference")
    return _add(graph, "Abs", [difference], "loss.distances")


def _binary(graph: onnx.GraphProto, logits: str, target: str) -> str:
    """max(x, 0) - x t + log(1 + exp(-|x|)), finite for every x.

    Softplus has no gradient in onnxruntime. max(x, 0) is (x + |x|) / 2 and not Relu, whose gradient
    at 0 is 0: there sigmoid(x) - t needs 1/2, and a head that starts at zero is there.
    """
    distance = _add(graph, "Abs", [logits], "loss.abs")
    both = _add(graph, "Add", [logits, distance], "loss.doubled")
    half = _constant(graph, "loss.half", 0.5)
    positive = _add(graph, "Mul", [both, half], "loss.positive")
    linear = _add(graph, "Mul", [logits, target], "loss.linear")
    negated = _add(graph, "Neg", [distance], "loss.negated")
    power = _add(graph, "Exp", [negated], "loss.exp")
    one = _constant(graph, "loss.one", 1.0)
    rest = _add(graph, "Log", [_add(graph, "Add", [power, one], "loss.sum")], "loss.log")
    upper = _add(graph, "Sub", [positive, linear], "loss.upper")
    return _add(graph, "Add", [upper, rest], "loss.elements")
