"""Remove an input that is always zero: a lookup becomes row 0, a Shape reads another input.

A text that stands alone has segment 0 throughout, so a file that takes text needs neither the
segments nor their table: Gather(table, 0) is a constant row.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.rule import Rewritten


def zero_input(model: onnx.ModelProto, name: str, *, like: str) -> Rewritten:
    """Remove the input `name`, which is always zero and as large as the input `like`.

    Declines, and changes nothing, when something else than a lookup or a Shape reads it.
    """
    graph = model.graph
    readers = [node for node in graph.node if name in node.input]
    stored = {tensor.name: tensor for tensor in graph.initializer}
    other = next((node for node in readers if not _is_known(graph, node, name, stored)), None)
    if other is not None:
        return Rewritten(0, (f"{other.name}: {other.op_type} reads it",))
    for node in readers:
        if node.op_type == "Shape":
            node.input[0] = like
        else:
            row = np.ascontiguousarray(numpy_helper.to_array(stored[node.input[0]])[0])
            constant = numpy_helper.from_array(row, f"{node.output[0]}/row_0")
            graph.initializer.append(constant)
            _read_instead(graph, node.output[0], constant.name)
    kept = [value for value in graph.input if value.name != name]
    del graph.input[:]
    graph.input.extend(kept)
    drop_dead(model)
    return Rewritten(len(readers))


def _is_known(
    graph: onnx.GraphProto, node: onnx.NodeProto, name: str, stored: dict[str, onnx.TensorProto]
) -> bool:
    if node.op_type == "Shape":
        return True
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    table = stored.get(node.input[0]) if node.op_type == "Gather" else None
    looks_up = table is not None and len(table.dims) == 2 and axis == 0 and node.input[1] == name
    # The row is broadcast where it is added to all tokens; elsewhere its shape would be missed.
    return looks_up and all(
        reader.op_type in ("Add", "Sum") for reader in graph.node if node.output[0] in reader.input
    )


def _read_instead(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for index, value in enumerate(node.input):
            if value == old:
                node.input[index] = new
