"""CastLike becomes the Cast that it is, or goes where it casts nothing: exact.

PyTorch's exporter writes CastLike for scalars in graphs with free axes. onnxruntime-training has
no gradient for it. Which type a value has is known before the graph runs.
Operator: CastLike, opset 15.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx

from olive_build.rewrites.clean import graphs
from olive_build.rewrites.rule import Rewritten
from olive_build.rewrites.value_types import name_of, value_types


def cast_like(model: onnx.ModelProto, _trainable: Collection[str] = ()) -> Rewritten:
    """Rewrite every CastLike of the main graph whose wanted type is known."""
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type == "CastLike"]
    if not nodes:
        return Rewritten(0)
    types = value_types(model)
    shown = {value.name for value in graph.output}
    same: dict[str, str] = {}
    declined = []
    count = 0
    for node in nodes:
        given, wanted = (types.get(name) for name in node.input)
        if wanted is None:
            declined.append(f"{name_of(node)}: the type of '{node.input[1]}' is not known")
            continue
        count += 1
        if given and given.element == wanted.element and node.output[0] not in shown:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
            continue
        node.op_type = "Cast"
        del node.input[1]
        node.attribute.append(onnx.helper.make_attribute("to", wanted.element))
    _read_instead(model, same)
    return Rewritten(count, tuple(declined))


def _read_instead(model: onnx.ModelProto, same: dict[str, str]) -> None:
    """Let everything, subgraphs too, read the value that was cast to its own type."""
    kept = [node for node in model.graph.node if not set(node.output) & same.keys()]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    for graph in graphs(model.graph):
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name in same:
                    node.input[place] = same[name]
        for value in graph.output:
            value.name = same.get(value.name, value.name)
