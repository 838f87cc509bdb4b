"""Which values of a graph depend on what is trained, and which of them the loss depends on.

The gradient builder of onnxruntime-training goes the same two ways, forward from the trainable
parameters and backward from the loss, and asks for the gradient of every operator met on both.
What stops it: STOP_GRADIENT_EDGES and IsAllowedForGradient in
orttraining/orttraining/core/framework/gradient_graph_builder.{h,cc} of microsoft/onnxruntime.
Two of its stops are left out, the exponent of Pow and the limits of Clip: PyTorch has gradients for
them, and a parameter above one would be trained wrongly without a word. `gradients` refuses them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import onnx
from onnx import TensorProto

from olive_build.rewrites.node_order import read_by
from olive_build.rewrites.value_types import FLOATS, ValueType, attribute_of, value_types

# Operator -> places of the inputs that no gradient goes into.
STOPS: dict[str, frozenset[int]] = {
    operator: frozenset(places)
    for operator, places in {
        "Not": (0,),
        "And": (0, 1),
        "Or": (0, 1),
        "Xor": (0, 1),
        "Equal": (0, 1),
        "Less": (0, 1),
        "LessOrEqual": (0, 1),
        "Greater": (0, 1),
        "GreaterOrEqual": (0, 1),
        "IsInf": (0,),
        "IsNaN": (0,),
        "NonZero": (0,),
        "Shape": (0,),
        "Size": (0,),
        "ConstantOfShape": (0,),
        "Range": (0, 1, 2),
        "OneHot": (0, 1, 2),
        "Gather": (1,),
        "GatherElements": (1,),
        "GatherND": (1,),
        "ScatterElements": (1,),
        "ScatterND": (1,),
        "Where": (0,),
        "Reshape": (1,),
        "Expand": (1,),
        "Tile": (1,),
        "TopK": (1,),
        "Squeeze": (1,),
        "Unsqueeze": (1,),
        "Slice": (1, 2, 3, 4),
        "Split": (1,),
        "ReduceSum": (1,),
        "ReduceMean": (1,),
        "ReduceL2": (1,),
        "ReduceLogSumExp": (1,),
        "Trilu": (1,),
        "Pad": (1, 2, 3),
    }.items()
}
# These give integers or truth values, whatever they are given.
WITHOUT = frozenset(("ArgMax", "ArgMin"))


@dataclass(frozen=True)
class GradientPaths:
    """Both ways through one graph; it holds until the graph is changed.

    `below` maps a value to the trainable parameters that it depends on. `needed` are the values
    that an output depends on.
    """

    model: onnx.ModelProto
    below: dict[str, frozenset[str]]
    needed: frozenset[str]

    def carries(self, name: str) -> bool:
        """Whether a gradient goes through this value, towards a trainable parameter."""
        return name in self.needed and bool(self.below.get(name))

    def trained(self, node: onnx.NodeProto) -> bool:
        """Whether the gradient builder asks for this node's gradient."""
        return any(self.carries(name) for name in node.output)

    def upstream(self, node: onnx.NodeProto) -> frozenset[str]:
        """Return the trainable parameters that the node's inputs depend on."""
        return frozenset().union(*(self.below.get(name, ()) for name in read_by(node)))

    @cached_property
    def types(self) -> dict[str, ValueType]:
        """What is known of the values' types."""
        return value_types(self.model)


def gradient_paths(model: onnx.ModelProto, trainable: Collection[str]) -> GradientPaths:
    """Follow the trainable parameters forward, and the graph's outputs backward."""
    types = value_types(model)
    below = {name: frozenset((name,)) for name in trainable}
    for node in model.graph.node:
        sources = [below[name] for name in _through(node, types) if name in below]
        if sources:
            union = frozenset().union(*sources)
            below.update({name: union for name in node.output if name and _may(name, types)})
    needed = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(_through(node, types))
    paths = GradientPaths(model, below, frozenset(needed))
    paths.__dict__["types"] = types
    return paths


def _through(node: onnx.NodeProto, types: dict[str, ValueType]) -> Iterator[str]:
    """Yield the inputs, those that subgraphs capture too, that a gradient may go into."""
    if node.op_type in WITHOUT or _casts_to_integers(node):
        return
    stopped = STOPS.get(node.op_type, frozenset()) if node.domain in ("", "ai.onnx") else ()
    for place, name in enumerate(node.input):
        if name and place not in stopped and _may(name, types):
            yield name
    yield from (name for name in sorted(read_by(node) - set(node.input)) if _may(name, types))


def _casts_to_integers(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and attribute_of(node, "to", TensorProto.FLOAT) not in FLOATS


def _may(name: str, types: dict[str, ValueType]) -> bool:
    """Whether a value may have a gradient: one of unknown type may."""
    known = types.get(name)
    return known is None or known.floating
