"""Give the outputs back the names that a pass took from them.

Olive's rtn names what a quantized node gives after the node, also where that is the graph's output.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from olive_build.rewrites.clean import graphs


def rename_outputs(model: onnx.ModelProto, names: Sequence[str]) -> int:
    """Name the outputs `names`, in their order; return how many had other names."""
    renamed = {
        value.name: name
        for value, name in zip(model.graph.output, names, strict=True)
        if value.name != name
    }
    for graph in graphs(model.graph):
        for node in graph.node:
            for values in (node.input, node.output):
                for index, name in enumerate(values):
                    values[index] = renamed.get(name, name)
    for value in (*model.graph.output, *model.graph.value_info):
        value.name = renamed.get(value.name, value.name)
    return len(renamed)
