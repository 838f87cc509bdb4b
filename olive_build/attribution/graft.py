"""One graph with some layers of another, and both in one graph with a switch for each layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.attribution.index import GraphIndex, read_names, renamed
from olive_build.attribution.layers import Layer
from olive_build.attribution.order import Point
from olive_build.attribution.session import Runner
from olive_build.errors import StepError

SWITCHES = "attribution/switches"


@dataclass(frozen=True)
class _Side:
    """One of the two graphs, with how a point is called in it."""

    graph: GraphIndex
    is_reference: bool

    def name(self, point: Point) -> str:
        return point.reference if self.is_reference else point.variant

    def type(self, point: Point) -> int:
        return point.reference_type if self.is_reference else point.variant_type

    def nodes(self, layer: Layer) -> list[onnx.NodeProto]:
        names = layer.reference_nodes if self.is_reference else layer.variant_nodes
        places = sorted(self.graph.producer[name] for name in names)
        return [self.graph.nodes[place] for place in places]

    def weight_name(self, name: str) -> str:
        """Return what a weight is called beside the other graph's."""
        return f"{'reference' if self.is_reference else 'variant'}/{name}"


def graft(
    reference: onnx.ModelProto, variant: onnx.ModelProto, layers: Sequence[Layer]
) -> onnx.ModelProto:
    """Return the reference with just these layers computed as the variant does.

    Raises StepError when onnxruntime cannot load the result.
    """
    reference, variant = align_opsets(reference, variant)
    sides = _Side(GraphIndex(reference), True), _Side(GraphIndex(variant), False)
    return _transplanted(*sides, layers)


def restore(
    reference: onnx.ModelProto, variant: onnx.ModelProto, layers: Sequence[Layer]
) -> onnx.ModelProto:
    """Return the variant with just these layers computed as the reference does.

    Raises StepError when onnxruntime cannot load the result.
    """
    reference, variant = align_opsets(reference, variant)
    sides = _Side(GraphIndex(variant), False), _Side(GraphIndex(reference), True)
    return _transplanted(*sides, layers)


def switchable(
    reference: onnx.ModelProto, variant: onnx.ModelProto, layers: Sequence[Layer]
) -> onnx.ModelProto:
    """Return one graph that computes each layer as either side does, chosen on each run.

    Its further input SWITCHES is bool [layers], true where the variant computes; only the chosen
    side of a layer is run. It stands for as many grafted graphs as there are sets of layers.
    """
    reference, variant = align_opsets(reference, variant)
    base, donor = _Side(GraphIndex(reference), True), _Side(GraphIndex(variant), False)
    places = [numpy_helper.from_array(np.array(i), _place(i)) for i in range(len(layers))]
    added: list[onnx.NodeProto] = []
    for number, layer in enumerate(layers):
        chosen = f"{SWITCHES}/{number}"
        added.append(helper.make_node("Gather", [SWITCHES, _place(number)], [chosen]))
        branches = {
            "then_branch": _branch(base, donor, layer, f"layer{number}/variant/"),
            "else_branch": _branch(base, base, layer, f"layer{number}/reference/"),
        }
        ends = [point.reference for point in layer.points]
        added.append(helper.make_node("If", [chosen], ends, name=f"layer{number}", **branches))
    model = _assembled(base, donor, added, layers)
    given = helper.make_tensor_value_info(SWITCHES, TensorProto.BOOL, [len(layers)])
    model.graph.input.append(given)
    model.graph.initializer.extend(places)
    return model


def _place(number: int) -> str:
    return f"{SWITCHES}/place{number}"


def _branch(base: _Side, donor: _Side, layer: Layer, prefix: str) -> onnx.GraphProto:
    """Return a subgraph that computes the layer's points as `donor` does, in `base`'s types."""
    copy = _Copy(donor, base, prefix)
    copy.add(layer)
    ends = [f"{prefix}leaving/{base.name(point)}" for point in layer.points]
    for point, end in zip(layer.points, ends, strict=True):
        copy.leave(point, end)
    outputs = [
        helper.make_tensor_value_info(end, base.type(point), None)
        for point, end in zip(layer.points, ends, strict=True)
    ]
    return helper.make_graph(copy.nodes, prefix.strip("/"), [], outputs)


def _transplanted(base: _Side, donor: _Side, layers: Sequence[Layer]) -> onnx.ModelProto:
    added: list[onnx.NodeProto] = []
    for number, layer in enumerate(layers):
        copy = _Copy(donor, base, f"layer{number}/")
        copy.add(layer)
        for point in layer.points:
            copy.leave(point, base.name(point))
        added += copy.nodes
    model = _assembled(base, donor, added, layers)
    Runner(model)
    return model


def align_opsets(
    one: onnx.ModelProto, other: onnx.ModelProto
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return both models in the newer one's version of ONNX's operators.

    Raises StepError when the older one cannot be converted.
    """
    versions = [_opset(model) for model in (one, other)]
    newest = max(versions)
    return (
        one if versions[0] == newest else _converted(one, newest),
        other if versions[1] == newest else _converted(other, newest),
    )


def _opset(model: onnx.ModelProto) -> int:
    return next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 1)


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    from onnx import version_converter

    try:
        converted = version_converter.convert_version(model, opset)
    except Exception as error:
        raise StepError(
            f"a graph of opset {_opset(model)} cannot be brought to {opset}",
            where="comparing two graphs",
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="export both graphs with the same opset",
        ) from error
    there = {item.domain for item in converted.opset_import}
    converted.opset_import.extend(i for i in model.opset_import if i.domain not in there)
    return converted


@dataclass
class _Copy:
    """Nodes of a donor under names of their own, reading the base graph's values."""

    donor: _Side
    base: _Side
    prefix: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def add(self, layer: Layer) -> None:
        """Copy the layer's nodes, reading the base's values at its inputs, cast if types differ."""
        names: dict[str, str] = {}
        for point in layer.inputs:
            given, wanted = self.base.name(point), self.donor.name(point)
            if self.base.type(point) != self.donor.type(point):
                cast = f"{self.prefix}entering/{wanted}"
                self.nodes.append(_cast(given, cast, self.donor.type(point)))
                given = cast
            names[wanted] = given
        nodes = self.donor.nodes(layer)
        names |= {name: self.prefix + name for node in nodes for name in node.output if name}
        if self.donor is not self.base:
            names |= {
                name: self.donor.weight_name(name)
                for node in nodes
                for name in read_names(node)
                if name in self.donor.graph.constants
            }
        for node in nodes:
            copy = renamed(node, names)
            copy.name = self.prefix + (node.name or node.output[0])
            self.nodes.append(copy)

    def leave(self, point: Point, name: str) -> None:
        """Give the copy's value at this point a name, in the base graph's type."""
        made = self.prefix + self.donor.name(point)
        if self.base.type(point) != self.donor.type(point):
            self.nodes.append(_cast(made, name, self.base.type(point)))
        else:
            label = f"{self.prefix}leaving/{name}"
            self.nodes.append(helper.make_node("Identity", [made], [name], name=label))


def _cast(source: str, name: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [name], name=f"{name}/cast", to=to)


def _assembled(
    base: _Side, donor: _Side, added: Sequence[onnx.NodeProto], layers: Sequence[Layer]
) -> onnx.ModelProto:
    """Return the base graph with nodes that make the layers' points in place of its own."""
    replaced = {
        base.name(point): f"{base.name(point)}/replaced"
        for layer in layers
        for point in layer.points
    }
    kept = []
    for node in base.graph.nodes:
        if any(name in replaced for name in node.output):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            for place, name in enumerate(copy.output):
                copy.output[place] = replaced.get(name, name)
            node = copy
        kept.append(node)
    nodes = _in_order(_alive([*kept, *added], base.graph.outputs))
    graph = onnx.GraphProto(name="attribution")
    graph.node.extend(nodes)
    graph.input.extend(v for v in base.graph.model.graph.input if v.name in base.graph.inputs)
    graph.input.extend(
        value
        for value in donor.graph.model.graph.input
        if value.name in donor.graph.inputs and value.name not in base.graph.inputs
    )
    graph.output.extend(base.graph.model.graph.output)
    read = {name for node in nodes for name in read_names(node)} | set(base.graph.outputs)
    _add_weights(graph, base, donor, read)
    made = {name for node in nodes for name in node.output}
    graph.value_info.extend(v for v in base.graph.model.graph.value_info if v.name in made)
    return _model(graph, base.graph.model, donor.graph.model)


def _add_weights(graph: onnx.GraphProto, base: _Side, donor: _Side, read: set[str]) -> None:
    graph.initializer.extend(t for t in base.graph.model.graph.initializer if t.name in read)
    for tensor in donor.graph.model.graph.initializer:
        if donor.weight_name(tensor.name) in read:
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = donor.weight_name(tensor.name)


def _model(
    graph: onnx.GraphProto, base: onnx.ModelProto, donor: onnx.ModelProto
) -> onnx.ModelProto:
    versions: dict[str, int] = {}
    for item in (*base.opset_import, *donor.opset_import):
        domain = "" if item.domain == "ai.onnx" else item.domain
        versions[domain] = max(versions.get(domain, 0), item.version)
    functions = {(item.domain, item.name): item for item in (*donor.functions, *base.functions)}
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(d, v) for d, v in sorted(versions.items())],
        ir_version=max(base.ir_version, donor.ir_version),
        functions=list(functions.values()),
        producer_name="olive_build",
    )


def _alive(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs need."""
    producer = {name: node for node in nodes for name in node.output if name}
    chosen: set[int] = set()
    pending = list(outputs)
    while pending:
        node = producer.get(pending.pop())
        if node is not None and id(node) not in chosen:
            chosen.add(id(node))
            pending.extend(read_names(node))
    return [node for node in nodes if id(node) in chosen]


def _in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes so that each stands after what it reads. Raises StepError on a circle."""
    producer = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    needs = [{producer[n] for n in read_names(node) if n in producer} for node in nodes]
    users: dict[int, list[int]] = {}
    for place, sources in enumerate(needs):
        for source in sources:
            users.setdefault(source, []).append(place)
    waiting = [len(sources) for sources in needs]
    ready = [place for place, count in enumerate(waiting) if not count]
    ordered = []
    while ready:
        place = ready.pop()
        ordered.append(nodes[place])
        for user in users.get(place, ()):
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    if len(ordered) < len(nodes):
        raise StepError(
            "layers of the two graphs cannot be exchanged",
            where="grafting layers",
            why="one of them would come before what it is made from",
            hint="please report this with both files",
        )
    return ordered
