"""Make a graph compute what an x86 CPU without VNNI computes: products that saturate in 16 bits.

There onnxruntime multiplies uint8 activations by int8 weights with vpmaddubsw, which adds the
products of two neighbours along the inner axis and cuts the sum to 16 bits (MLAS,
onnxruntime/core/mlas/lib/amd64/QgemmU8S8KernelAvx2.asm; AVX512 without VNNI does the same). VNNI
and AMX add in 32 bits. onnxruntime's docs/performance/model-optimizations/quantization.md names it
and the two ways out: weights of 7 bits (reduce_range), or the session option
session.x64quantprecision.

This is for measuring on a machine that has VNNI, never for shipping. Only a pair of weights that
could exceed 16 bits with activations of 255 is computed again: one pair in a hundred or so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

LARGEST_ACTIVATION = 255
LOWEST, HIGHEST = -(2**15), 2**15 - 1
# Operators that multiply uint8 by int8 inside, beside those that are rewritten here.
OTHERS = (
    "QLinearConv QLinearMatMul QGemm QAttention DynamicQuantizeMatMul MatMulIntegerToFloat "
    "DynamicQuantizeLSTM"
).split()
PRODUCTS = ("MatMul", "Gemm", "Conv")


@dataclass(frozen=True)
class Saturated:
    """What was rewritten: products, weight pairs in them, and those of them that may saturate.

    `declined` names each product of the kind that could not be rewritten, with the reason.
    """

    products: int
    pairs: int
    at_risk: int
    declined: tuple[str, ...]


@dataclass(frozen=True)
class _Product:
    """A uint8 activation [..., K] times int8 weights [K, N]; `scales` where the output is float."""

    activation: str
    weights: npt.NDArray[np.int8]
    scales: tuple[str, str] | None = None


def saturate_products(model: onnx.ModelProto) -> Saturated:
    """Rewrite each MatMulInteger of uint8 by constant int8, and each MatMul of dequantized ones."""
    graph = _Graph(model)
    nodes: list[onnx.NodeProto] = []
    declined: list[str] = []
    pairs = at_risk = products = 0
    for node in list(model.graph.node):
        found = _product(node, graph)
        if found is None:
            nodes.append(node)
        elif isinstance(found, str):
            declined.append(f"{node.name or node.op_type}: {found}")
            nodes.append(node)
        else:
            where = pairs_at_risk(found.weights)
            products += 1
            pairs += (found.weights.shape[0] // 2) * found.weights.shape[1]
            at_risk += len(where)
            nodes += _saturated(graph, node, found, where) if len(where) else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return Saturated(products, pairs, at_risk, tuple(declined))


def pairs_at_risk(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Return [pairs, 2]: column, then row of each pair's first weight; sorted by column.

    A pair is at risk when activations of 0 to 255 can bring its sum out of 16 bits.
    """
    even = weights.shape[0] // 2 * 2
    first, second = weights[0:even:2].astype(np.int64), weights[1:even:2].astype(np.int64)
    most = LARGEST_ACTIVATION * (np.maximum(first, 0) + np.maximum(second, 0))
    least = LARGEST_ACTIVATION * (np.minimum(first, 0) + np.minimum(second, 0))
    columns, pairs = np.nonzero(((most > HIGHEST) | (least < LOWEST)).T)
    return np.stack([columns, 2 * pairs], axis=1)


def _product(node: onnx.NodeProto, graph: _Graph) -> _Product | str | None:
    """Return the product that a node is, why it cannot be rewritten, or None if it is not one."""
    if node.op_type in OTHERS:
        return "the operator is not emulated"
    if node.op_type == "MatMulInteger":
        return graph.product(node.input[0], node.input[1], None)
    if node.op_type not in PRODUCTS or node.domain not in ("", "ai.onnx"):
        return None
    sides = [graph.maker.get(name) for name in node.input[:2]]
    if not all(side is not None and side.op_type == "DequantizeLinear" for side in sides):
        return None
    one, two = (side for side in sides if side is not None)
    found = graph.product(one.input[0], two.input[0], (one.input[1], two.input[1]))
    if isinstance(found, _Product) and node.op_type != "MatMul":
        return f"a quantized {node.op_type} is not emulated"
    return found


class _Graph:
    """The graph that is rewritten: constants and makers by name, and new constants."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.maker = {name: node for node in model.graph.node for name in node.output}
        self._into = model.graph.initializer

    def product(
        self, activation: str, weights: str, scales: tuple[str, str] | None
    ) -> _Product | str | None:
        tensor = self.stored.get(weights)
        if tensor is None:
            return "both sides are activations"
        if tensor.data_type != onnx.TensorProto.INT8:
            return None  # uint8 weights take another kernel, which adds in 32 bits
        values = numpy_helper.to_array(tensor)
        if self._is_16_bits(activation):
            return None
        if values.ndim != 2:
            return f"its weights have {values.ndim} axes"
        return _Product(activation, values, scales)

    def _is_16_bits(self, activation: str) -> bool:
        """Whether a QuantizeLinear with a zero point of 16 bits made the value."""
        maker = self.maker.get(activation)
        if maker is None or maker.op_type != "QuantizeLinear" or len(maker.input) < 3:
            return False
        zero = self.stored.get(maker.input[2])
        return zero is not None and zero.data_type in (
            onnx.TensorProto.UINT16,
            onnx.TensorProto.INT16,
        )

    def add_constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Store a value under a name of its own; return the name."""
        self._into.append(numpy_helper.from_array(value, name))
        return name


class _Nodes:
    """Nodes as they are made, each with one output named after `base` and its place."""

    def __init__(self, graph: _Graph, base: str) -> None:
        self.made: list[onnx.NodeProto] = []
        self._graph = graph
        self._base = base
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"{self._base}/{self._count}"

    def constant(self, value: npt.NDArray[Any]) -> str:
        return self._graph.add_constant(self._name(), value)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node and return its output."""
        output = self._name()
        self.made.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def _saturated(
    graph: _Graph, node: onnx.NodeProto, product: _Product, where: npt.NDArray[np.int64]
) -> list[onnx.NodeProto]:
    """Return the node and what corrects it: for each column the sum of (cut pair - pair)."""
    nodes = _Nodes(graph, f"{node.output[0]}/saturated")
    exact = onnx.NodeProto()
    exact.CopyFrom(node)
    exact.output[0] = f"{node.output[0]}/exact"
    delta = _by_column(nodes, _differences(nodes, product, where), product, where)
    delta = nodes.add("Reshape", delta, nodes.add("Shape", exact.output[0]))
    if product.scales is not None:
        delta = nodes.add("Cast", delta, to=onnx.TensorProto.FLOAT)
        for scale in product.scales:
            delta = nodes.add("Mul", delta, scale)
    total = helper.make_node("Add", [exact.output[0], delta], [node.output[0]])
    return [exact, *nodes.made, total]


def _differences(nodes: _Nodes, product: _Product, where: npt.NDArray[np.int64]) -> str:
    """Return the value [pairs, rows of the activation]: what cutting changes in each pair.

    Pairs come first, so that picking one copies a stretch of memory and not single numbers.
    """
    columns, rows = where[:, 0], where[:, 1]
    wide = nodes.add("Cast", product.activation, to=onnx.TensorProto.INT32)
    shape = nodes.constant(np.array([-1, product.weights.shape[0]], np.int64))
    turned = nodes.add("Transpose", nodes.add("Reshape", wide, shape), perm=[1, 0])
    halves = []
    for half in (0, 1):
        weights = product.weights[rows + half, columns, None].astype(np.int32)
        picked = nodes.add("Gather", turned, nodes.constant(rows + half), axis=0)
        halves.append(nodes.add("Mul", picked, nodes.constant(weights)))
    pair = nodes.add("Add", *halves)
    above = nodes.add("Max", pair, nodes.constant(np.array(LOWEST, np.int32)))
    cut = nodes.add("Min", above, nodes.constant(np.array(HIGHEST, np.int32)))
    return nodes.add("Sub", cut, pair)


def _by_column(
    nodes: _Nodes, differences: str, product: _Product, where: npt.NDArray[np.int64]
) -> str:
    """Return the value [rows of the activation, N]: the sum of each column's differences.

    They lie one below the other, column after column: a running sum at the end of a column, minus
    the one at its beginning, is the column's. A nought in front lets the first column begin.
    """
    ends = np.searchsorted(where[:, 0], np.arange(product.weights.shape[1]), side="right")
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    first = nodes.add("Gather", differences, nodes.constant(np.array([0], np.int64)), axis=0)
    nought = nodes.add("Sub", first, first)
    padded = nodes.add("Concat", nought, differences, axis=0)
    running = nodes.add("CumSum", padded, nodes.constant(np.array(0, np.int64)))
    end = nodes.add("Gather", running, nodes.constant(ends.astype(np.int64)), axis=0)
    start = nodes.add("Gather", running, nodes.constant(starts), axis=0)
    return nodes.add("Transpose", nodes.add("Sub", end, start), perm=[1, 0])
