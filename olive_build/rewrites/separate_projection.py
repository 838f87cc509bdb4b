"""Attention(x, W, b, attention_bias) -> MultiHeadAttention(split(x W), b, attention_bias): exact.

com.microsoft::Attention holds the packed projection W inside the operator, where a quantizer
either leaves it in fp32 (34 % of a MiniLM instead of 26 %) or, as onnxruntime's QAttention,
quantizes it to seven bits. Taken out as a MatMul it is quantized like every other weight, and
the attention itself stays fused.

Operators: com.microsoft Attention and MultiHeadAttention, docs/ContribOperators.md of
microsoft/onnxruntime.
"""

from __future__ import annotations

import onnx
from onnx import helper

from olive_build.rewrites.rule import Rewritten

DOMAIN = "com.microsoft"
SIZES = "qkv_hidden_sizes"
# Inputs of Attention, by position.
X, WEIGHTS, BIAS, MASK_INDEX, PAST, ATTENTION_BIAS = range(6)


def separate_projection(model: onnx.ModelProto) -> Rewritten:
    """Rewrite every Attention that has no past and no mask index; say why others stay."""
    nodes: list[onnx.NodeProto] = []
    declined: list[str] = []
    count = 0
    for node in model.graph.node:
        if node.op_type != "Attention" or node.domain != DOMAIN:
            nodes.append(node)
            continue
        reason = _reason_to_decline(node)
        if reason:
            declined.append(f"{node.name}: {reason}")
            nodes.append(node)
            continue
        nodes.extend(_separated(node))
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return Rewritten(count, tuple(declined))


def _input(node: onnx.NodeProto, position: int) -> str:
    return node.input[position] if position < len(node.input) else ""


def _reason_to_decline(node: onnx.NodeProto) -> str | None:
    if _input(node, PAST) or len(node.output) > 1:
        return "it has a KV cache, whose layout differs between the two operators"
    if _input(node, MASK_INDEX):
        return "it has a mask index, which MultiHeadAttention reads differently"
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if len(set(attributes.get(SIZES, []))) > 1:
        return "its query, key and value differ in size"
    other = sorted(set(attributes) - {"num_heads", "scale", "mask_filter_value", SIZES})
    if other:
        return f"it has the attributes {', '.join(other)}, which MultiHeadAttention lacks"
    return None


def _separated(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    name = node.name or node.output[0]
    packed = f"{name}/qkv"
    parts = [f"{packed}_{part}" for part in ("query", "key", "value")]
    attention = helper.make_node(
        "MultiHeadAttention",
        [*parts, _input(node, BIAS), "", _input(node, ATTENTION_BIAS)],
        [node.output[0]],
        name=f"{name}/MultiHeadAttention",
        domain=DOMAIN,
    )
    attention.attribute.extend(a for a in node.attribute if a.name != SIZES)
    return [
        helper.make_node(
            "MatMul", [node.input[X], node.input[WEIGHTS]], [packed], name=f"{name}/qkv/MatMul"
        ),
        helper.make_node(
            "Split", [packed], parts, name=f"{name}/qkv/Split", axis=-1, num_outputs=3
        ),
        attention,
    ]
