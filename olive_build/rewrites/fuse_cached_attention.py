"""softmax(q k' * scale + mask) v with a cache -> one MultiHeadAttention a layer.

Where keys and values come straight from a projection, the operator also joins them with the cache.
Rotated ones, and those that several heads share, are joined outside and given whole.

It shares the heads among threads. At the size of GPT-Neo 125M one thread is as fast either way, an
int8 token after 128 others taking 13 ms in onnxruntime 1.31: its products take nearly all of that.

The mask is an attention_bias [batch, 1, tokens, total]: its broadcasting over heads is right from
onnxruntime 1.21.1 on (targets/desktop.yaml), and a mask of any other kind is what WebGPU lacks.

Operator: com.microsoft MultiHeadAttention, docs/ContribOperators.md of microsoft/onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.rule import Rewritten

DOMAIN = "com.microsoft"
HEADS_FIRST, KEYS_TURNED = [0, 2, 1, 3], [0, 1, 3, 2]
TO_TOKENS = "attention/to_tokens"


@dataclass(frozen=True)
class _Graph:
    producers: Mapping[str, onnx.NodeProto]
    consumers: Mapping[str, list[onnx.NodeProto]]
    constants: Mapping[str, onnx.TensorProto]
    caches: Mapping[str, tuple[int, int]]
    """By the cache that a step takes: its heads and their size."""
    ranks: Mapping[str, int]
    """How many axes the exporter says that a value inside has."""

    def made(self, name: str, operator: str) -> onnx.NodeProto | None:
        """Return the node that makes a value if it is of this operator."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type == operator else None

    def only(self, name: str, operator: str) -> onnx.NodeProto | None:
        """Return the node that alone reads a value if it is of this operator."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].op_type == operator else None

    def transposed(self, name: str, order: list[int]) -> str | None:
        """Return what the value is a transposition of."""
        node = self.made(name, "Transpose")
        return node.input[0] if node is not None and _ints(node, "perm") == order else None


@dataclass(frozen=True)
class _Attention:
    """One layer's attention: values [batch, heads, tokens, size], and the node behind it."""

    query: str
    key: str
    value: str
    mask: str
    scale: float
    turned: onnx.NodeProto


def fuse_cached_attention(model: onnx.ModelProto) -> Rewritten:
    """Fuse every attention whose keys and values are outputs of the graph or made of them."""
    graph = _graph(model.graph)
    declined: list[str] = []
    count = 0
    for softmax in [node for node in model.graph.node if node.op_type == "Softmax"]:
        found = _attention(graph, softmax)
        if isinstance(found, str):
            declined.append(f"{softmax.name}: {found}")
            continue
        heads = _heads(graph, found)
        if heads is None:
            declined.append(f"{softmax.name}: its keys are of no cache")
            continue
        _replace(model.graph, graph, found, heads)
        count += 1
    if count:
        if DOMAIN not in {item.domain for item in model.opset_import}:
            model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        shape = np.array([0, 0, -1], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(shape, TO_TOKENS))
        drop_dead(model)
    return Rewritten(count, tuple(declined))


def _graph(graph: onnx.GraphProto) -> _Graph:
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    caches = {}
    for value in graph.input:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if len(sizes) == 4 and sizes[1] and sizes[3]:
            caches[value.name] = (sizes[1], sizes[3])
    return _Graph(
        {name: node for node in graph.node for name in node.output},
        consumers,
        {tensor.name: tensor for tensor in graph.initializer},
        caches,
        {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info},
    )


def _attention(graph: _Graph, softmax: onnx.NodeProto) -> _Attention | str:
    masked = graph.made(softmax.input[0], "Add")
    if masked is None:
        return "no mask is added to its scores"
    scores, mask = masked.input
    if graph.made(scores, "MatMul") is None and graph.made(scores, "Mul") is None:
        scores, mask = mask, scores
    scale = 1.0
    if (scaled := graph.made(scores, "Mul")) is not None:
        scores, factor = scaled.input
        if factor not in graph.constants or list(graph.constants[factor].dims) not in ([], [1]):
            return "its scores are scaled by no number"
        scale = float(numpy_helper.to_array(graph.constants[factor]).reshape(()))
    product = graph.made(scores, "MatMul")
    key = None if product is None else graph.transposed(product.input[1], KEYS_TURNED)
    weighed = graph.only(softmax.output[0], "MatMul")
    turned = None if weighed is None else graph.only(weighed.output[0], "Transpose")
    if product is None or key is None or weighed is None or turned is None:
        return "its products are not queries by keys, and weights by values"
    if _ints(turned, "perm") != HEADS_FIRST:
        return "its heads are not put side by side"
    return _Attention(product.input[0], key, weighed.input[1], mask, scale, turned)


def _heads(graph: _Graph, found: _Attention) -> int | None:
    """Return how many heads there are: those of the cache, by how many share one of its own."""
    cache = _cache(graph, found.key)
    if cache is not None:
        return graph.caches[cache][0]
    # Heads that share keys: [batch, shared, 1, total, size] expanded, then all heads side by side.
    reshaped = graph.made(found.key, "Reshape")
    expanded = None if reshaped is None else graph.made(reshaped.input[0], "Expand")
    alone = None if expanded is None else graph.made(expanded.input[0], "Unsqueeze")
    cache = None if alone is None else _cache(graph, alone.input[0])
    if reshaped is None or cache is None:
        return None
    shape = graph.made(reshaped.input[1], "Concat")
    heads = None if shape is None else graph.constants.get(shape.input[1])
    return None if heads is None else int(numpy_helper.to_array(heads).reshape(()))


def _cache(graph: _Graph, name: str) -> str | None:
    """Return the cache that a value [batch, heads, total, size] is the longer form of."""
    joined = graph.made(name, "Concat")
    known = joined is not None and len(joined.input) == 2 and joined.input[0] in graph.caches
    return str(joined.input[0]) if joined is not None and known else None


def _replace(graph: onnx.GraphProto, known: _Graph, found: _Attention, heads: int) -> None:
    name = found.turned.name or found.turned.output[0]
    before: list[onnx.NodeProto] = []
    query = _projected(known, found.query)
    if query is None:
        parts = [f"{name}/query_tokens", f"{name}/query"]
        before = [
            helper.make_node(
                "Transpose", [found.query], [parts[0]], name=parts[0], perm=HEADS_FIRST
            ),
            helper.make_node("Reshape", [parts[0], TO_TOKENS], [parts[1]], name=parts[1]),
        ]
        query = parts[1]
    inside = _inside(known, found)
    inputs = [query, found.key, found.value, "", "", found.mask]
    # The heads stand side by side already: what turns and flattens them flattens this.
    flat = f"{name}/attended"
    outputs = [flat]
    if inside is not None:
        new, past = inside
        inputs = [query, *new, "", "", found.mask, *past]
        outputs += [found.key, found.value]
        for present in (found.key, found.value):
            graph.node.remove(known.producers[present])
    fused = helper.make_node(
        "MultiHeadAttention",
        inputs,
        outputs,
        name=f"{name}/MultiHeadAttention",
        domain=DOMAIN,
        num_heads=heads,
        scale=found.scale,
    )
    position = list(graph.node).index(found.turned)
    for offset, node in enumerate((*before, fused)):
        graph.node.insert(position + offset, node)
    graph.node.remove(found.turned)
    for reader in known.consumers[found.turned.output[0]]:
        for index, read in enumerate(reader.input):
            if read == found.turned.output[0]:
                reader.input[index] = flat


def _inside(known: _Graph, found: _Attention) -> tuple[list[str], list[str]] | None:
    """Return new keys and values [batch, tokens, all heads] and their caches, if projected."""
    new, past = [], []
    for name in (found.key, found.value):
        cache = _cache(known, name)
        if cache is None:
            return None
        projected = _projected(known, known.producers[name].input[1])
        if projected is None:
            return None
        new.append(projected)
        past.append(cache)
    return new, past


def _projected(graph: _Graph, name: str) -> str | None:
    """Return the value [batch, tokens, all heads] that one with heads first was split from."""
    split = graph.transposed(name, HEADS_FIRST)
    reshaped = None if split is None else graph.made(split, "Reshape")
    if reshaped is None or graph.ranks.get(reshaped.input[0], 3) != 3:
        return None
    return str(reshaped.input[0])


def _ints(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])
