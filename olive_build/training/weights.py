"""A model taken apart: the graph without its weights, and the weights as a checkpoint wants them.

What builds a training graph copies the model a dozen times. Without the weights these copies are
small: wav2vec2-base (0.38 GB) takes 1.2 GB at its peak instead of 2.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from olive_build.errors import StepError
from olive_build.onnx_files import models

# A constant of so many numbers is stored once, in the checkpoint, not in each graph.
LARGE = 1024


@dataclass
class Weights:
    """Serialized TensorProtos of float parameters, and their names in the same order."""

    trainable: list[bytes] = field(default_factory=list)
    frozen: list[bytes] = field(default_factory=list)
    trainable_names: list[str] = field(default_factory=list)
    frozen_names: list[str] = field(default_factory=list)


def take_apart(
    path: Path, trainable: Sequence[str], frozen: Sequence[str]
) -> tuple[onnx.ModelProto, list[onnx.ValueInfoProto], Weights]:
    """Return the model without its weights, the weights as graph inputs, and their values.

    A frozen weight is a float initializer that is named in `frozen` or has 1024 elements or more;
    small constants and integers stay in the graph. The order is that of `trainable`, then the
    graph's. Raises StepError when a trainable parameter is no float32 initializer of the graph.
    """
    model = models.read(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    _check_trainable(path, tensors, trainable)
    weights = Weights(trainable_names=list(trainable))
    trained, named = set(trainable), set(frozen)
    weights.frozen_names = [
        name
        for name, tensor in tensors.items()
        if name not in trained
        and tensor.data_type == TensorProto.FLOAT
        and (name in named or _elements(tensor) >= LARGE)
    ]
    names = [*weights.trainable_names, *weights.frozen_names]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensors[name].dims))
        for name in names
    ]
    weights.trainable = [_serialized(tensors[name]) for name in weights.trainable_names]
    weights.frozen = [_serialized(tensors[name]) for name in weights.frozen_names]
    return _without(model, set(names)), values, weights


def _check_trainable(
    path: Path, tensors: dict[str, onnx.TensorProto], trainable: Sequence[str]
) -> None:
    if not trainable:
        raise StepError(
            "there is nothing to train",
            where=path.name,
            hint="write names that exist in `train: requires_grad`, or a `head`",
        )
    for name in trainable:
        if name not in tensors:
            raise StepError(
                f"the graph has no parameter `{name}`, which is to be trained",
                where=path.name,
                why="the exporter dropped it or folded it into another one",
                hint="take it out of `train: requires_grad` if the model does not use it",
            )
        if tensors[name].data_type != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(tensors[name].data_type).lower()
            raise StepError(
                f"the parameter `{name}` is {kind}, and only float32 can be trained",
                where=path.name,
                hint="load the model in float32",
            )


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def _serialized(tensor: onnx.TensorProto) -> bytes:
    data: bytes = tensor.SerializeToString(deterministic=True)
    return data


def _without(model: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """Return a copy without these initializers, which gives their memory back."""
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in names]
    inputs = [value for value in model.graph.input if value.name not in names]
    bare = onnx.ModelProto()
    graph = onnx.GraphProto(
        node=model.graph.node,
        name=model.graph.name,
        initializer=kept,
        input=inputs,
        output=model.graph.output,
        value_info=model.graph.value_info,
    )
    bare.graph.CopyFrom(graph)
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    for node in bare.graph.node:
        del node.metadata_props[:]  # paths of the machine that exported
        node.ClearField("doc_string")
    return bare
