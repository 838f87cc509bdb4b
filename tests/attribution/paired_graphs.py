"""Small networks, quantized by onnxruntime itself, and ways to spoil or disguise them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

WIDTH = 32
LAYERS = 4
Feed = dict[str, np.ndarray]


def model_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    given: tuple[str, list[object]],
    made: tuple[str, list[object]],
    opset: int = 18,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(given[0], TensorProto.FLOAT, given[1])],
        [helper.make_tensor_value_info(made[0], TensorProto.FLOAT, made[1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def perceptron(opset: int = 18) -> onnx.ModelProto:
    """Return x [b, s, 32] through four residual layers: MatMul, Relu, Add, LayerNormalization."""
    random = np.random.default_rng(0)
    weights = {"gain": np.ones(WIDTH, np.float32), "shift": np.zeros(WIDTH, np.float32)}
    nodes = []
    stream = "x"
    for layer in range(LAYERS):
        weights[f"w{layer}"] = random.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 4
        end = "y" if layer == LAYERS - 1 else f"stream{layer}"
        nodes += [
            helper.make_node(
                "MatMul", [stream, f"w{layer}"], [f"h{layer}"], f"layer.{layer}/MatMul"
            ),
            helper.make_node("Relu", [f"h{layer}"], [f"a{layer}"], f"layer.{layer}/Relu"),
            helper.make_node("Add", [f"a{layer}", stream], [f"s{layer}"], f"layer.{layer}/Add"),
            helper.make_node(
                "LayerNormalization", [f"s{layer}", "gain", "shift"], [end], f"layer.{layer}/Norm"
            ),
        ]
        stream = end
    shape = ["b", "s", WIDTH]
    return model_of(nodes, weights, ("x", shape), ("y", shape), opset)


def conv_net() -> onnx.ModelProto:
    """Return image [b, 3, 16, 16] -> logits [b, 10]: three convolutions, pooling, Gemm."""
    random = np.random.default_rng(1)
    nodes, weights = [], {}
    stream, channels = "image", 3
    for layer, wide in enumerate((8, 16, 16)):
        weights[f"k{layer}"] = random.normal(size=(wide, channels, 3, 3)).astype(np.float32) / 5
        weights[f"b{layer}"] = random.normal(size=wide).astype(np.float32) / 5
        nodes += [
            helper.make_node(
                "Conv",
                [stream, f"k{layer}", f"b{layer}"],
                [f"c{layer}"],
                f"conv{layer}",
                pads=[1, 1, 1, 1],
                strides=[2, 2] if layer else [1, 1],
            ),
            helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], f"relu{layer}"),
        ]
        stream, channels = f"r{layer}", wide
    weights["head"] = random.normal(size=(10, channels)).astype(np.float32) / 5
    nodes += [
        helper.make_node("GlobalAveragePool", [stream], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "head"], ["logits"], "head", transB=1),
    ]
    return model_of(nodes, weights, ("image", ["b", 3, 16, 16]), ("logits", ["b", 10]))


def sequences(count: int = 8, seed: int = 5) -> list[Feed]:
    random = np.random.default_rng(seed)
    sizes = [(1, 5 + number, WIDTH) for number in range(count)]
    return [{"x": random.normal(size=size).astype(np.float32)} for size in sizes]


def images(count: int = 8, seed: int = 6) -> list[Feed]:
    random = np.random.default_rng(seed)
    return [{"image": random.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def dynamic_int8(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    onnx.save(model, str(folder / "fp32.onnx"))
    quantize_dynamic(folder / "fp32.onnx", folder / "int8.onnx", per_channel=True)
    return onnx.load(str(folder / "int8.onnx"))


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def static_qdq(model: onnx.ModelProto, feeds: list[Feed], folder: Path) -> onnx.ModelProto:
    onnx.save(model, str(folder / "fp32.onnx"))
    quantize_static(
        folder / "fp32.onnx",
        folder / "qdq.onnx",
        _Reader(feeds),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(str(folder / "qdq.onnx"))


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(onnx.ModelProto.FromString(model.SerializeToString()))


def changed_weight(
    model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> onnx.ModelProto:
    """Return a copy of the model with one stored tensor changed."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    tensor = next(t for t in copy.graph.initializer if t.name == name)
    value = change(numpy_helper.to_array(tensor))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return copy


def disguised(model: onnx.ModelProto, seed: int = 0) -> onnx.ModelProto:
    """Return a copy in which every inner name is a random one."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    random = np.random.default_rng(seed)
    kept = {value.name for value in (*copy.graph.input, *copy.graph.output)} | {""}
    names: dict[str, str] = {}

    def new(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"v{random.integers(1 << 48):x}")

    for tensor in copy.graph.initializer:
        tensor.name = new(tensor.name)
    for node in copy.graph.node:
        node.name = f"n{random.integers(1 << 48):x}"
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = new(name)
    del copy.graph.value_info[:]
    return copy
