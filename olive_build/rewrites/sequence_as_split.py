"""A sequence that is made by splitting and read at fixed places becomes a Split: exact.

PyTorch's exporter writes `x.split(...)` as SplitToSequence and SequenceAt. onnxruntime-training has
no gradient for sequences. Operators: SplitToSequence and SequenceAt, opset 11; Split, opset 18.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import (
    ValueType,
    attribute_of,
    constants,
    fresh_name,
    name_of,
    replace_nodes,
    value_types,
)

SIZES = 1


def sequence_as_split(model: onnx.ModelProto, _trainable: Collection[str] = ()) -> Rewritten:
    """Rewrite every SplitToSequence that SequenceAt alone reads; say why others stay."""
    graph = model.graph
    found = {i: node for i, node in enumerate(graph.node) if node.op_type == "SplitToSequence"}
    if not found:
        return Rewritten(0)
    stored, types = constants(model), value_types(model)
    readers: dict[str, list[tuple[int, onnx.NodeProto]]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        for name in node.input:
            readers[name].append((index, node))
    replaced: dict[int, list[onnx.NodeProto]] = {}
    declined = []
    for index, node in found.items():
        reading = readers[node.output[0]]
        sizes = _sizes(node, stored, types.get(node.input[0]))
        places = [_place(reader, stored, len(sizes)) for _, reader in reading]
        if not sizes or None in places:
            declined.append(f"{name_of(node)}: its parts, or the places read, are not known")
            continue
        replaced[index] = [_split(graph, node, sizes)]
        parts = replaced[index][0].output
        for (at, reader), place in zip(reading, places, strict=True):
            assert place is not None
            one = helper.make_node("Identity", [parts[place]], reader.output, reader.name)
            one.metadata_props.extend(reader.metadata_props)
            replaced[at] = [one]
    replace_nodes(graph, replaced)
    return Rewritten(len(found) - len(declined), tuple(declined))


def _sizes(
    node: onnx.NodeProto, stored: dict[str, np.ndarray], given: ValueType | None
) -> list[int]:
    """Return the length of each part; nothing where it is not known, or parts lose their axis."""
    if len(node.input) <= SIZES or node.input[SIZES] not in stored:
        return []
    sizes = stored[node.input[SIZES]]
    if sizes.ndim:
        return [int(size) for size in sizes]
    length = given.shape[attribute_of(node, "axis", 0)] if given and given.shape else None
    if length is None:
        return []
    whole, rest = divmod(length, int(sizes))
    return [int(sizes)] * whole + ([rest] if rest else [])


def _place(reader: onnx.NodeProto, stored: dict[str, np.ndarray], parts: int) -> int | None:
    if reader.op_type != "SequenceAt" or reader.input[1] not in stored:
        return None
    place = int(stored[reader.input[1]])
    return place % parts if parts and -parts <= place < parts else None


def _split(graph: onnx.GraphProto, node: onnx.NodeProto, sizes: list[int]) -> onnx.NodeProto:
    name = fresh_name(graph, f"{node.output[0]}_sizes")
    graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), name))
    parts = [f"{node.output[0]}_part_{place}" for place in range(len(sizes))]
    axis = attribute_of(node, "axis", 0)
    made = helper.make_node("Split", [node.input[0], name], parts, node.name, axis=axis)
    made.metadata_props.extend(node.metadata_props)
    return made
