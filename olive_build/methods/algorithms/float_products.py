"""The products of the fp32 graph that stored weights came from, and the moments of their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from olive_build.calibration.capture import stream_values
from olive_build.methods.algorithms.gptq import Floats

# Of a convolution's positions this many of a sample are looked at, evenly spread.
MOST_ROWS = 256
# Stored weights differ from those that they came from by the rounding alone.
SAME = 0.5
SAMPLED_VALUES = 4096
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class FloatProduct:
    """A MatMul, Gemm or Conv of the fp32 graph with a stored weight."""

    node: onnx.NodeProto
    tensor: onnx.TensorProto

    @property
    def input(self) -> str:
        return str(self.node.input[0])

    def weight(self) -> Floats:
        """Return the weight as [inputs, outputs]."""
        values: Floats = numpy_helper.to_array(self.tensor).astype(np.float32)
        if self.node.op_type == "Conv":
            return values.reshape(len(values), -1).T
        return values.T if self._attributes().get("transB") else values

    def key(self) -> tuple[object, ...]:
        """Equal for products whose rows are the same: of one input, by one kernel."""
        if self.node.op_type != "Conv":
            return (self.input,)
        kept = sorted((k, v) for k, v in self._attributes().items() if k != "group")
        return (self.input, *self.tensor.dims[2:], repr(kept))

    def rows(self, value: npt.NDArray[Any]) -> Floats:
        """Return the rows [positions, inputs] that the weight is multiplied with."""
        value = value.astype(np.float32)
        if self.node.op_type != "Conv":
            return value.reshape(-1, value.shape[-1])
        attributes = self._attributes()
        kernel = tuple(self.tensor.dims[2:])
        pads = attributes.get("pads", [0, 0, 0, 0])
        value = np.pad(value, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
        return _patches(
            value, kernel, attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
        )

    def _attributes(self) -> dict[str, Any]:
        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute}


def _patches(
    value: Floats, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Floats:
    """Return at most MOST_ROWS patches [positions, channels * height * width] of a padded image."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(value, spans, axis=(2, 3))  # type: ignore[call-overload]
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    batch, _, height, width = windows.shape[:4]
    count = batch * height * width
    chosen = np.unravel_index(
        np.linspace(0, count - 1, min(count, MOST_ROWS)).astype(np.intp), (batch, height, width)
    )
    picked = windows[chosen[0], :, chosen[1], chosen[2]]
    return np.ascontiguousarray(picked.reshape(len(picked), -1), np.float32)


def float_products(model: onnx.ModelProto) -> list[FloatProduct]:
    """Return the products with a stored fp32 weight whose rows are known here."""
    tensors = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    return [
        FloatProduct(node, tensors[node.input[1]])
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm", "Conv")
        and node.input[1] in tensors
        and _auto_pad(node) in (b"", b"NOTSET", b"VALID")
    ]


def _auto_pad(node: onnx.NodeProto) -> bytes:
    return next((a.s for a in node.attribute if a.name == "auto_pad"), b"")


def find_origin(
    stored: Floats, names: Sequence[str], products: Sequence[FloatProduct]
) -> list[FloatProduct]:
    """Return the fp32 products whose weight was stored as `stored` [inputs, outputs].

    Quantizers keep a node's name and append to it, so a product whose name begins that of one of
    the nodes `names` is tried first; then every weight of the shape is. Empty when none is near.
    """
    shaped = [product for product in products if product.weight().shape == stored.shape]
    named = [p for p in shaped if any(p.node.name and n.startswith(p.node.name) for n in names)]
    if named:
        # Of `dense` and `dense_1` the longer one is meant.
        longest = max(len(product.node.name) for product in named)
        closest = [p for p in named if len(p.node.name) == longest and _distance(stored, p) < SAME]
        if closest and len(names) == 1:
            return closest
    scored = [(_distance(stored, product), index) for index, product in enumerate(shaped)]
    if not scored or min(scored)[0] >= SAME:
        return []
    tensor = shaped[min(scored)[1]].tensor.name
    return [product for product in shaped if product.tensor.name == tensor]


def _distance(stored: Floats, product: FloatProduct) -> float:
    """Return |stored - weight| / |weight| over some of the values, spread evenly."""
    weight = product.weight()
    step = max(1, weight.size // SAMPLED_VALUES)
    # A step that divides the width would look at few columns only.
    some = np.unravel_index(np.arange(0, weight.size, step | 1), weight.shape)
    size = float(np.linalg.norm(weight[some]))
    return float(np.linalg.norm(stored[some] - weight[some])) / max(size, 1e-30)


def second_moments(
    model: onnx.ModelProto,
    products: Iterable[FloatProduct],
    feeds: Iterable[Mapping[str, npt.NDArray[Any]]],
    *,
    held_out: int,
    threads: int,
) -> dict[tuple[object, ...], tuple[Floats, Floats]]:
    """Return x^T x [inputs, inputs] summed over the samples' rows x, twice for each product's key.

    Every `held_out`-th sample (the 4th, 8th ... for 4) goes into the second sum, the others into
    the first. Memory is that of the sums and one sample.
    """
    wanted = {product.key(): product for product in products}
    names = sorted({product.input for product in wanted.values()})
    sums = {key: (_Moments(), _Moments()) for key in wanted}
    for index, values in enumerate(stream_values(model, names, feeds, threads=threads)):
        part = 1 if index % held_out == held_out - 1 else 0
        for key, product in wanted.items():
            sums[key][part].add(product.rows(values[product.input]))
    return {key: (learnt.total(), judged.total()) for key, (learnt, judged) in sums.items()}


class _Moments:
    """x^T x over the rows x that are added.

    They wait until there are enough: a product of many rows costs little more than one of few.
    """

    def __init__(self) -> None:
        self._sum: Floats | None = None
        self._waiting: list[Floats] = []

    def add(self, rows: Floats) -> None:
        self._waiting.append(rows)
        if sum(len(part) for part in self._waiting) >= ROWS_AT_ONCE:
            self._multiply()

    def total(self) -> Floats:
        if self._waiting:
            self._multiply()
        assert self._sum is not None
        return self._sum

    def _multiply(self) -> None:
        rows = np.concatenate(self._waiting)
        self._waiting.clear()
        if self._sum is None:
            self._sum = rows.T @ rows
        else:
            self._sum += rows.T @ rows
