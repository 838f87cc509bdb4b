"""Remove nodes that compute the same values under the same names as an earlier one: exact.

onnxruntime's fp16 converter (onnxruntime/transformers/float16.py, up to 1.31 at least) adds a cast
for every fp32 node that reads a value and names it after the value. Two such readers give two
casts of one name, which no runtime loads. This is what Olive's OrtMixedPrecision and
OnnxFloatToFloat16 with `op_block_list` leave behind.
"""

from __future__ import annotations

import onnx

from olive_build.rewrites.rule import Rewritten


def drop_repeated_nodes(model: onnx.ModelProto) -> Rewritten:
    """Drop every node that is equal to an earlier one, its name and outputs included."""
    seen: dict[tuple[str, ...], bytes] = {}
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        content = node.SerializeToString(deterministic=True)
        outputs = tuple(node.output)
        if not outputs or seen.get(outputs) != content:
            seen.setdefault(outputs, content)
            kept.append(node)
    count = len(model.graph.node) - len(kept)
    if count:
        del model.graph.node[:]
        model.graph.node.extend(kept)
    return Rewritten(count)
