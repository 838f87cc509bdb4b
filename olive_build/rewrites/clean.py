"""Make exported bytes the same on every machine, and node names readable.

Exporters write stack traces with absolute paths, trace dumps and progress into node metadata
(about 490 KB for a BERT of six layers). Nothing at run time reads them. What they say about where
a node comes from is kept in the node's name, which is what reports and `exclude` lists show.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx

from olive_build.onnx_files.models import write
from olive_build.rewrites.node_order import sort_nodes

SCOPES = "pkg.torch.onnx.name_scopes"


def save_clean(model: onnx.ModelProto, path: Path) -> None:
    """Write `model` to `path` without metadata, its weights beside it where it is large.

    Nodes are put behind those whose values they read; converters append some of theirs.
    """
    strip_metadata(model)
    sort_nodes(model)
    write(model, path)


def strip_metadata(model: onnx.ModelProto) -> None:
    """Drop documentation strings and metadata of the model, its graphs, nodes and values."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in graphs(model.graph):
        graph.doc_string = ""
        del graph.metadata_props[:]
        values = (*graph.input, *graph.output, *graph.value_info)
        for item in (*values, *graph.node, *graph.initializer):
            item.doc_string = ""
            del item.metadata_props[:]


def name_nodes(model: onnx.ModelProto) -> None:
    """Name each node by the module that it was traced from: `encoder.layer.0.output.dense/MatMul`.

    Nodes without a traced module keep their operator as name; a number keeps names unique. The
    wrapper's own prefix is dropped.
    """
    used: Counter[str] = Counter()
    for node in model.graph.node:
        scope = _scope(node)
        name = f"{scope}/{node.op_type}" if scope else node.op_type
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}_{used[name]}"


def _scope(node: onnx.NodeProto) -> str:
    text = next((p.value for p in node.metadata_props if p.key == SCOPES), "[]")
    scopes = ast.literal_eval(text)
    # The last entry is the operation itself; the first two are the wrapper and its attribute.
    modules = [scope for scope in scopes[:-1] if scope]
    deepest: str = modules[-1] if modules else ""
    return deepest.partition(".")[2]


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield the graph and every subgraph below it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node runs, without those below them."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs
