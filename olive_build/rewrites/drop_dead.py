"""Remove what nothing reads: nodes, optional outputs and stored values.

Fusions leave optional outputs behind (mean and variance of SkipLayerNormalization), which the
kernel then computes and writes; an unused node still costs its start.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from olive_build.rewrites.clean import graphs
from olive_build.rewrites.rule import Rewritten

# Operators whose trailing outputs may be left out without changing what the others are.
OPTIONAL_OUTPUTS = frozenset(
    (
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "LayerNormalization",
        "MultiHeadAttention",
        "Attention",
        "Dropout",
        "MaxPool",
    )
)


def drop_dead(model: onnx.ModelProto) -> Rewritten:
    """Remove dead nodes, optional outputs and initializers; the count is of all three."""
    graph = model.graph
    count = 0
    while dead := _dead_nodes(graph):
        kept = [node for index, node in enumerate(graph.node) if index not in dead]
        del graph.node[:]
        graph.node.extend(kept)
        count += len(dead)
    read = set(_read(graph))
    for node in graph.node:
        if node.op_type in OPTIONAL_OUTPUTS:
            while len(node.output) > 1 and node.output[-1] not in read:
                count += bool(node.output.pop())
    count += drop_unread_values(graph)
    _drop_value_info(graph)
    return Rewritten(count)


def drop_unread_values(graph: onnx.GraphProto) -> int:
    """Remove stored values that nothing reads, those of graphs inside too; return how many.

    onnxruntime prints a line for each of them whenever it loads the file.
    """
    count = 0
    for inner in graphs(graph):
        read = set(_read(inner))
        kept = [tensor for tensor in inner.initializer if tensor.name in read]
        if len(kept) < len(inner.initializer):
            count += len(inner.initializer) - len(kept)
            del inner.initializer[:]
            inner.initializer.extend(kept)
    return count


def _dead_nodes(graph: onnx.GraphProto) -> set[int]:
    read = set(_read(graph))
    return {
        index for index, node in enumerate(graph.node) if not any(n in read for n in node.output)
    }


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names that the graph's outputs and all nodes, of subgraphs too, read."""
    for inner in graphs(graph):
        yield from (value.name for value in inner.output)
        for node in inner.node:
            yield from (name for name in node.input if name)


def _drop_value_info(graph: onnx.GraphProto) -> None:
    computed = {name for node in graph.node for name in node.output}
    kept = [value for value in graph.value_info if value.name in computed]
    if len(kept) < len(graph.value_info):
        del graph.value_info[:]
        graph.value_info.extend(kept)
