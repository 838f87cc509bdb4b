"""The places at which a variant computes differently: cuts between matching points."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, numpy_helper

from olive_build.attribution.index import Cone, GraphIndex, weight_bytes
from olive_build.attribution.order import Point

# Operators of ONNX and onnxruntime that compute with, or make, numbers of low precision.
LOW_PRECISION = frozenset(
    "MatMulInteger ConvInteger DynamicQuantizeLinear QuantizeLinear DequantizeLinear "
    "DynamicQuantizeMatMul MatMulIntegerToFloat DynamicQuantizeLSTM MatMulNBits MatMulBnb4 "
    "MatMulFpQ4 GatherBlockQuantized QAttention QGemm QEmbedLayerNormalization QMoE "
    "QOrderedMatMul".split()
)
_TYPES: dict[int, str] = {
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT16: "int16",
    TensorProto.UINT16: "uint16",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "uint4",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.FLOAT8E4M3FN: "fp8",
    TensorProto.FLOAT8E5M2: "fp8",
}
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
REWRITTEN = "rewritten"


@dataclass(frozen=True)
class Layer:
    """One place at which the variant computes differently.

    `name` is the reference's node that it stands for, as one writes it in `exclude`; `operator`
    that node's. `precision` is int8, int4, fp16 and so on, or `rewritten` where only the graph
    differs. Nodes are known by their first output; the two cuts begin at `inputs` and the graph's
    own inputs, and end at `points`. Bytes are those of the stored weights between.
    """

    name: str
    operator: str
    precision: str
    points: tuple[Point, ...]
    inputs: tuple[Point, ...]
    reference_nodes: tuple[str, ...]
    variant_nodes: tuple[str, ...]
    reference_bytes: int
    variant_bytes: int


def quantized_layers(
    reference: onnx.ModelProto, variant: onnx.ModelProto, points: Sequence[Point]
) -> tuple[Layer, ...]:
    """Return the layers in which the variant has weights or operators of low precision."""
    layers = changed_layers(reference, variant, points)
    return tuple(layer for layer in layers if layer.precision != REWRITTEN)


def changed_layers(
    reference: onnx.ModelProto, variant: onnx.ModelProto, points: Sequence[Point]
) -> tuple[Layer, ...]:
    """Return all places at which the graphs or their weights differ, in the variant's order.

    Where both have the same operators over the same weights there is no layer. Cuts that share a
    weight of low precision are one layer, since one cannot be changed without the other.
    """
    sides = GraphIndex(reference), GraphIndex(variant)
    signatures = (
        _signatures(sides[0], {point.reference: place for place, point in enumerate(points)}),
        _signatures(sides[1], {point.variant: place for place, point in enumerate(points)}),
    )
    differing = [
        point
        for point in points
        if point.reference_type != point.variant_type
        or signatures[0][point.reference] != signatures[1][point.variant]
    ]
    groups = _groups(differing, sides, points)
    return tuple(_layer(group, sides, points) for group in groups)


def _signatures(graph: GraphIndex, points: Mapping[str, int]) -> dict[str, bytes]:
    """Return, for each value, a digest of how it follows from the points and weights before it.

    Names play no part in it.
    """
    contents: dict[str, bytes] = {}
    found: dict[str, bytes] = {}
    for node, reads in zip(graph.nodes, graph.reads, strict=True):
        described = [node.domain, node.op_type, *sorted(map(_attribute, node.attribute))]
        digest = hashlib.blake2b(repr(described).encode(), digest_size=16)
        for name in (*node.input, *(name for name in reads if name not in node.input)):
            if name in points:
                digest.update(b"point %d" % points[name])
            elif name in graph.constants:
                if name not in contents:
                    contents[name] = _content(graph.constants[name])
                digest.update(contents[name])
            else:
                digest.update(found.get(name, name.encode()))
        for place, name in enumerate(node.output):
            found[name] = digest.digest() + bytes([place % 256])
    return found


def _attribute(attribute: onnx.AttributeProto) -> bytes:
    content: bytes = attribute.SerializeToString(deterministic=True)
    return content


def _content(tensor: onnx.TensorProto) -> bytes:
    """Return a digest of a weight's type, shape and values, however the file stores them."""
    digest = hashlib.blake2b(f"{tensor.data_type} {tuple(tensor.dims)} ".encode(), digest_size=16)
    if tensor.data_type == TensorProto.STRING:
        digest.update(repr(list(tensor.string_data)).encode())
    else:
        digest.update(tensor.raw_data or numpy_helper.to_array(tensor).tobytes())
    return digest.digest()


def _groups(
    differing: Iterable[Point],
    sides: tuple[GraphIndex, GraphIndex],
    points: Sequence[Point],
) -> list[list[Point]]:
    """Put points together whose cuts share a node that has a weight of low precision."""
    stops = {point.variant for point in points}
    owner: dict[int, int] = {}
    groups: dict[int, list[Point]] = {}
    for number, point in enumerate(differing):
        groups[number] = [point]
        shared = {sides[1].producer[point.variant]} | {
            place
            for place in sides[1].cone([point.variant], stops).nodes
            if any(_is_low_weight(t) for t in sides[1].weights([place]).values())
        }
        for place in sorted(shared):
            other = owner.get(place, number)
            if other == number:
                continue
            if _is_convex([*groups[other], *groups[number]], sides, points):
                groups[number] = groups.pop(other) + groups[number]
                owner = {k: number if known == other else known for k, known in owner.items()}
        owner.update(dict.fromkeys(shared, number))
    return list(groups.values())


def _is_convex(
    group: Sequence[Point], sides: tuple[GraphIndex, GraphIndex], points: Sequence[Point]
) -> bool:
    """Whether no path leaves the group and comes back into it through another point."""
    named = [
        {point.reference: point for point in points},
        {point.variant: point for point in points},
    ]
    ends = [{point.reference for point in group}, {point.variant for point in group}]
    seen: set[str] = set()
    pending: list[Point] = []
    for side, graph in enumerate(sides):
        borders = graph.cone(ends[side], set(named[side]) - ends[side]).borders
        pending += [named[side][name] for name in borders if name in named[side]]
    while pending:
        point = pending.pop()
        if point.variant in ends[1]:
            return False
        if point.variant in seen:
            continue
        seen.add(point.variant)
        for graph, names, value in zip(sides, named, (point.reference, point.variant), strict=True):
            pending += [names[n] for n in graph.cone([value], names).borders if n in names]
    return True


def _is_low_weight(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type in _TYPES and weight_bytes([tensor]) >= 64


def _layer(
    group: list[Point], sides: tuple[GraphIndex, GraphIndex], points: Sequence[Point]
) -> Layer:
    reference, variant = sides
    by_reference = {point.reference: point for point in points}
    by_variant = {point.variant: point for point in points}
    ends = [point.reference for point in group], [point.variant for point in group]
    cones = (
        reference.cone(ends[0], set(by_reference) - set(ends[0])),
        variant.cone(ends[1], set(by_variant) - set(ends[1])),
    )
    node = _weighted_node(reference, cones[0], group[-1])
    borders = [by_reference[name] for name in cones[0].borders if name in by_reference]
    borders += [by_variant[name] for name in cones[1].borders if name in by_variant]
    borders += _cast_inputs(sides, {*cones[0].borders, *cones[1].borders})
    return Layer(
        name=node.name or f"{node.op_type} of {node.output[0]}",
        operator=node.op_type,
        precision=_precision(variant, cones[1], group),
        points=tuple(group),
        inputs=tuple(dict.fromkeys(borders)),
        reference_nodes=_first_outputs(reference, cones[0]),
        variant_nodes=_first_outputs(variant, cones[1]),
        reference_bytes=weight_bytes(reference.weights(cones[0].nodes).values()),
        variant_bytes=weight_bytes(variant.weights(cones[1].nodes).values()),
    )


def _cast_inputs(sides: tuple[GraphIndex, GraphIndex], names: set[str]) -> list[Point]:
    """Return the graphs' inputs that they take in different types, as points."""
    types = [
        {v.name: v.type.tensor_type.elem_type for v in side.model.graph.input} for side in sides
    ]
    return [
        Point(name, name, 1.0, True, types[0][name], types[1][name])
        for name in sorted(names)
        if name in types[0] and types[0][name] != types[1].get(name, types[0][name])
    ]


def _weighted_node(graph: GraphIndex, cone: Cone, last: Point) -> onnx.NodeProto:
    """Return the node with the most stored weights, or the last one where none has any."""
    sizes = {place: weight_bytes(graph.weights([place]).values()) for place in cone.nodes}
    heaviest = max(cone.nodes, key=lambda place: sizes[place])
    # A bias or a scale does not make a node the layer's.
    if sizes[heaviest] >= 64 and graph.nodes[heaviest].op_type not in ("Add", "Mul", "Div", "Sub"):
        return graph.nodes[heaviest]
    return graph.nodes[graph.producer[last.reference]]


def _first_outputs(graph: GraphIndex, cone: Cone) -> tuple[str, ...]:
    nodes = (graph.nodes[place] for place in cone.nodes)
    return tuple(next(name for name in node.output if name) for node in nodes)


def _precision(variant: GraphIndex, cone: Cone, group: Sequence[Point]) -> str:
    """Name what the cut computes in: the type of most of its weights, else of its activations."""
    nodes = [variant.nodes[place] for place in cone.nodes]
    for node in nodes:
        bits = [a.i for a in node.attribute if a.name == "bits"]
        if node.op_type in ("MatMulNBits", "GatherBlockQuantized"):
            return f"int{bits[0] if bits else 4}"
    sizes: Counter[str] = Counter()
    for tensor in variant.weights(cone.nodes).values():
        if tensor.data_type in _TYPES:
            sizes[_TYPES[tensor.data_type]] += weight_bytes([tensor])
    if any(node.op_type in LOW_PRECISION or node.op_type.startswith("QLinear") for node in nodes):
        return sizes.most_common(1)[0][0] if sizes else "int8"
    if any(point.variant_type in _HALVES for point in group) or "fp16" in sizes:
        return "fp16"
    return sizes.most_common(1)[0][0] if sizes else REWRITTEN
