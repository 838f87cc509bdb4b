"""Operators on the way from what is trained to the loss that onnxruntime-training cannot train.

Measured against onnxruntime-training 1.19.2: each operator of TRAINABLE was built in a small graph,
generated, loaded, and its gradient compared with PyTorch's; the others fail or are wrong. The names
are those of orttraining/orttraining/core/graph/gradient_builder_registry.cc of
microsoft/onnxruntime, less those whose gradient fails when a device loads it (ConvTranspose and
Resize have no kernel) or is wrong (BatchNormalization).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import onnx

from olive_build.rewrites.average_pool_as_convolution import has_free_axis
from olive_build.rewrites.clean import SCOPES
from olive_build.rewrites.float_exponent import integer_exponent
from olive_build.rewrites.gradient_paths import GradientPaths, gradient_paths
from olive_build.rewrites.lift_grouped_convolution import corrupts_memory
from olive_build.rewrites.split_as_slices import has_gradient_in_part
from olive_build.rewrites.value_types import attribute_of, name_of

# Sorted; onnx's own domain, opset 18 to 21. Some have conditions, which are in CONDITIONS.
TRAINABLE = frozenset(
    (
        *("Abs", "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "Cos", "Div", "Erf"),
        *("Exp", "Expand", "Flatten", "GRU", "Gather", "GatherElements", "GatherND", "Gelu"),
        *("Gemm", "GlobalAveragePool", "Identity", "LSTM", "LayerNormalization", "LeakyRelu"),
        *("Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "Pad", "Pow"),
        *("Reciprocal", "ReduceL2", "ReduceLogSumExp", "ReduceMean", "ReduceSum", "Relu"),
        *("Reshape", "ScatterElements", "ScatterND", "Sigmoid", "Sin", "Slice", "Softmax"),
        *("Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "TopK", "Transpose", "Trilu"),
        *("Unsqueeze", "Where"),
    )
)
NOT_REGISTERED = "onnxruntime-training 1.19.2 has no gradient for it"
NO_KERNEL = "its gradient is generated, and no device can load it: it has no kernel"
KNOWN_FAULTS = {
    "ConvTranspose": NO_KERNEL,
    "Resize": NO_KERNEL,
    "BatchNormalization": "its statistics would be trained, and its gradient is wrong",
    "Dropout": "the graph was exported for training, with its random numbers in it",
}
Condition = Callable[[onnx.NodeProto, GradientPaths], str | None]


@dataclass(frozen=True)
class Finding:
    """A node that no gradient gets through, and the trainable parameters upstream of it.

    `layer` is the module that the node was traced from; empty where the graph does not say. A
    finding without an operator is a parameter that the outputs do not depend on.
    """

    operator: str
    node: str
    layer: str
    reason: str
    parameters: tuple[str, ...]


def operators_without_gradient(model: onnx.ModelProto, trainable: Collection[str]) -> list[Finding]:
    """Return what stops training, in the graph's order; nothing when everything can be trained.

    `trainable` are names of initializers. All of the graph's outputs count as the loss's.
    """
    paths = gradient_paths(model, trainable)
    order = {name: place for place, name in enumerate(trainable)}
    prefixes = _prefixes(tensor.name for tensor in model.graph.initializer)
    found = []
    for node in model.graph.node:
        reason = why_not(node, paths)
        if reason:
            upstream = tuple(sorted(paths.upstream(node), key=order.__getitem__))
            layer = layer_of(node, prefixes)
            found.append(Finding(node.op_type, name_of(node), layer, reason, upstream))
    lost = [name for name in trainable if name not in paths.needed]
    if lost:
        reason = "the outputs do not depend on it"
        found.append(Finding("", "", "", reason, tuple(lost)))
    return found


def why_not(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    """Return why a node cannot be trained through; None where it can, or need not be."""
    if node.op_type == "BatchNormalization":
        # Even where nothing below it is trained: generation makes it one of training's own.
        return KNOWN_FAULTS["BatchNormalization"]
    if not paths.trained(node):
        return None
    if node.domain not in ("", "ai.onnx") or node.op_type not in TRAINABLE:
        return KNOWN_FAULTS.get(node.op_type, NOT_REGISTERED)
    condition = CONDITIONS.get(node.op_type)
    return condition(node, paths) if condition else None


def lacks_gradient(node: onnx.NodeProto, paths: GradientPaths) -> bool:
    """Whether a node cannot be trained through, for the rule that writes definitions out.

    LayerNormalization and CastLike have rules of their own, which leave one node or none.
    """
    own_rule = node.op_type in ("LayerNormalization", "CastLike")
    return not own_rule and why_not(node, paths) is not None


def layer_of(node: onnx.NodeProto, prefixes: Collection[str]) -> str:
    """Return the module that a node was traced from, named as its parameters are.

    PyTorch's exporter writes the names of all modules round a node, the outermost first, as a
    Python list; they begin with what wraps the model. Where no parameter is near, the name is what
    the exporter wrote.
    """
    text = next((p.value for p in node.metadata_props if p.key == SCOPES), "[]")
    # The last entry is the operation itself.
    scopes = [scope for scope in ast.literal_eval(text)[:-1] if scope]
    if not scopes:
        return ""
    parts = scopes[-1].split(".")
    for start in range(len(parts)):
        for end in (len(parts), len(parts) - 1):
            if end > start and ".".join(parts[start:end]) in prefixes:
                return ".".join(parts[start:])
    return str(scopes[-1])


def _prefixes(names: Iterable[str]) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        parts = name.split(".")
        found.update(".".join(parts[:end]) for end in range(1, len(parts)))
    return frozenset(found)


def _conv(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    if corrupts_memory(node, paths):
        return "its gradient in groups overwrites memory, unless it is over two axes"
    return None


def _average_pool(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    if has_free_axis(node, paths):
        return "its gradient needs a fixed shape"
    if len(attribute_of(node, "kernel_shape")) > 2 and any(attribute_of(node, "pads", ())):
        return "its gradient over three axes is wrong where there is padding"
    return None


def _pad(node: onnx.NodeProto, _paths: GradientPaths) -> str | None:
    if attribute_of(node, "mode", b"constant") != b"constant":
        return "padding has a gradient for a constant alone"
    return "padding has no gradient where its axes are given" if node.input[3:4] else None


def _split(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    if has_gradient_in_part(node, paths):
        return "a split has a gradient only where all its parts have one"
    return None


def _layer_norm(node: onnx.NodeProto, _paths: GradientPaths) -> str | None:
    if len(node.output) < 3 or len(node.input) < 3:
        return "its gradient needs its mean, its deviation and a bias"
    return None


def _gelu(node: onnx.NodeProto, _paths: GradientPaths) -> str | None:
    if attribute_of(node, "approximate", b"none") != b"none":
        return "its gradient is that of the exact form, not of the one by tanh"
    return None


def _pow(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    if integer_exponent(node, paths):
        return "its gradient wants an exponent of the base's type"
    if paths.below.get(node.input[1]):
        return "its exponent, which depends on what is trained, gets no gradient"
    return None


def _clip(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    if any(paths.below.get(name) for name in node.input[1:]):
        return "its limits, which depend on what is trained, get no gradient"
    return None


def _recurrent(node: onnx.NodeProto, paths: GradientPaths) -> str | None:
    states = 7 if node.op_type == "LSTM" else 6
    if attribute_of(node, "direction", b"forward") != b"forward":
        return "its gradient is for the forward direction alone"
    if len(node.input) < states or not all(node.input[5:states]) or not node.input[3]:
        return "its gradient needs a bias and the states that it begins with"
    if len(node.input) > states and any(node.input[states:]):
        return "its gradient takes no peepholes"
    if not all(paths.carries(name) for name in node.input[1:3]):
        return "its gradient crashes unless all of its own weights are trained"
    return None


CONDITIONS: dict[str, Condition] = {
    "AveragePool": _average_pool,
    "Clip": _clip,
    "Conv": _conv,
    "GRU": _recurrent,
    "Gelu": _gelu,
    "LSTM": _recurrent,
    "LayerNormalization": _layer_norm,
    "Pad": _pad,
    "Pow": _pow,
    "Split": _split,
}
