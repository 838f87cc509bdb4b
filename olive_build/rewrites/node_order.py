"""Sort nodes after those that they read, as ONNX requires; onnxruntime accepts them unsorted."""

from __future__ import annotations

import heapq

import onnx


def sort_nodes(model: onnx.ModelProto) -> bool:
    """Put each node of the main graph behind those whose values it or its subgraphs read.

    Nodes whose order is sound keep it. Returns whether any moved.
    """
    nodes = list(model.graph.node)
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = [{maker[name] for name in read_by(node) if name in maker} for node in nodes]
    if all(max(needed, default=-1) < index for index, needed in enumerate(needs)):
        return False
    followers: list[list[int]] = [[] for _ in nodes]
    for index, needed in enumerate(needs):
        for source in needed:
            followers[source].append(index)
    waiting = [len(needed) for needed in needs]
    ready = [index for index, count in enumerate(waiting) if not count]
    ordered: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(index)
        for follower in followers[index]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, follower)
    if len(ordered) < len(nodes):
        return False  # a circle, which is the runtime's to refuse
    del model.graph.node[:]
    model.graph.node.extend(nodes[index] for index in ordered)
    return True


def read_by(node: onnx.NodeProto) -> set[str]:
    """Return the names that a node and the nodes of its subgraphs read."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names |= read_by(inner)
    return names
