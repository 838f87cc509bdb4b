"""Keys and values that are split by heads already go into attention as they are: exact.

A cache holds keys as [batch, heads, length, size]. Exported, attention over it joins the heads,
[batch, length, heads * size], only for the kernel to split them again: for the 1,500 positions of a
Whisper that is half the time of each token. MultiHeadAttention takes both forms.

Operator: com.microsoft MultiHeadAttention, docs/ContribOperators.md of microsoft/onnxruntime: key
and value of four axes, for cross attention.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.rule import Rewritten

DOMAIN = "com.microsoft"
KEY, VALUE, BIAS, PADDING, ATTENTION_BIAS, PAST_KEY = range(1, 7)
JOINED = [0, 2, 1, 3]
KEPT = [0, 0, -1]


def keep_heads_split(model: onnx.ModelProto) -> Rewritten:
    """Give every MultiHeadAttention without a past of its own the keys and values by heads."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    count = 0
    for node in graph.node:
        if (node.op_type, node.domain) != ("MultiHeadAttention", DOMAIN):
            continue
        if any(len(node.input) > place and node.input[place] for place in (BIAS, PAST_KEY)):
            continue
        if len(node.input) <= VALUE or not node.input[VALUE]:
            continue
        split = [_by_heads(node.input[place], makers, tensors) for place in (KEY, VALUE)]
        if all(split):
            node.input[KEY], node.input[VALUE] = map(str, split)
            count += 1
    if count:
        drop_dead(model)
    return Rewritten(count)


def _by_heads(
    name: str, makers: dict[str, onnx.NodeProto], tensors: dict[str, onnx.TensorProto]
) -> str | None:
    """Return the value [batch, heads, length, size] that `name` joins the heads of, if it does."""
    reshape = makers.get(name)
    if reshape is None or reshape.op_type != "Reshape":
        return None
    transpose = makers.get(reshape.input[0])
    if transpose is None or transpose.op_type != "Transpose":
        return None
    order = next((helper.get_attribute_value(a) for a in transpose.attribute), None)
    shape = tensors.get(reshape.input[1])
    if order != JOINED or shape is None:
        return None
    kept = numpy_helper.to_array(shape)
    return transpose.input[0] if kept.tolist() == KEPT else None
