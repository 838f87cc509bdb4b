"""A graph by its values: who makes each, what it is made from, and what lies between two cuts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx


@dataclass(frozen=True)
class GraphIndex:
    """A model's main graph, looked up by value name.

    A node is known by its place in `model.graph.node`, which ONNX keeps in topological order.
    """

    model: onnx.ModelProto

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        nodes: Sequence[onnx.NodeProto] = self.model.graph.node
        return nodes

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """The stored weights by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names that a caller must feed; weights that are listed as inputs are none of them."""
        return tuple(v.name for v in self.model.graph.input if v.name not in self.constants)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names that the graph returns."""
        return tuple(value.name for value in self.model.graph.output)

    @cached_property
    def producer(self) -> dict[str, int]:
        """The node that makes each value."""
        return {
            name: place for place, node in enumerate(self.nodes) for name in node.output if name
        }

    @cached_property
    def reads(self) -> tuple[tuple[str, ...], ...]:
        """What each node reads, the values that its subgraphs take from outside included."""
        return tuple(read_names(node) for node in self.nodes)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The computed values that depend on an input, in topological order."""
        known = set(self.inputs)
        found: list[str] = []
        for node, reads in zip(self.nodes, self.reads, strict=True):
            if any(name in known for name in reads):
                made = [name for name in node.output if name]
                known.update(made)
                found += made
        return tuple(found)

    def cone(self, values: Iterable[str], stops: Collection[str]) -> Cone:
        """Return the nodes from which `values` follow, backwards until a value of `stops`."""
        chosen: set[int] = set()
        borders: dict[str, None] = {}
        pending = [self.producer[name] for name in values]
        while pending:
            place = pending.pop()
            if place in chosen:
                continue
            chosen.add(place)
            for name in self.reads[place]:
                if name in stops or name in self.inputs:
                    borders[name] = None
                elif name in self.producer:
                    pending.append(self.producer[name])
        return Cone(tuple(sorted(chosen)), tuple(borders))

    def weights(self, places: Iterable[int]) -> dict[str, onnx.TensorProto]:
        """Return the stored weights that these nodes read."""
        return {
            name: self.constants[name]
            for place in places
            for name in self.reads[place]
            if name in self.constants
        }


@dataclass(frozen=True)
class Cone:
    """Nodes between two cuts of a graph: their places, and the values at which they begin."""

    nodes: tuple[int, ...]
    borders: tuple[str, ...]


def read_names(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the values that the node reads, those of its subgraphs' outside included."""
    names = dict.fromkeys(name for name in node.input if name)
    for graph in subgraphs(node):
        names.update(dict.fromkeys(_outside(graph)))
    return tuple(names)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that the node holds as attributes."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _outside(graph: onnx.GraphProto) -> Iterator[str]:
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        yield from (name for name in read_names(node) if name not in own)
        own.update(node.output)
    yield from (value.name for value in graph.output if value.name not in own)


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """Return a copy of the node with values renamed, in its subgraphs too."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    _rename(copy, names)
    return copy


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    for field in (node.input, node.output):
        for place, name in enumerate(field):
            if name in names:
                field[place] = names[name]
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        outer = {old: new for old, new in names.items() if old not in own}
        for inner in graph.node:
            _rename(inner, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def weight_bytes(tensors: Iterable[onnx.TensorProto]) -> int:
    """Return how many bytes the tensors take in the file; a 4-bit value takes half of one."""
    total = 0
    for tensor in tensors:
        count = 1
        for size in tensor.dims:
            count *= size
        total += (count * _BITS.get(tensor.data_type, 32) + 7) // 8
    return total


_BITS: dict[int, int] = {
    onnx.TensorProto.BOOL: 8,
    onnx.TensorProto.FLOAT: 32,
    onnx.TensorProto.UINT8: 8,
    onnx.TensorProto.INT8: 8,
    onnx.TensorProto.UINT16: 16,
    onnx.TensorProto.INT16: 16,
    onnx.TensorProto.INT32: 32,
    onnx.TensorProto.INT64: 64,
    onnx.TensorProto.FLOAT16: 16,
    onnx.TensorProto.DOUBLE: 64,
    onnx.TensorProto.UINT32: 32,
    onnx.TensorProto.UINT64: 64,
    onnx.TensorProto.BFLOAT16: 16,
    onnx.TensorProto.FLOAT8E4M3FN: 8,
    onnx.TensorProto.FLOAT8E4M3FNUZ: 8,
    onnx.TensorProto.FLOAT8E5M2: 8,
    onnx.TensorProto.FLOAT8E5M2FNUZ: 8,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.INT4: 4,
}
