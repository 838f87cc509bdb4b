"""Graphs of a few seeded layers, and what is needed to quantize and run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from olive_build.calibration.inputs import CALIBRATION, write_inputs

Array = npt.NDArray[Any]
WIDTH, HIDDEN = 128, 160


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, Array],
    inputs: dict[str, tuple[int, list[Any]]],
    output: str,
    opset: int = 18,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(n, kind, axes) for n, (kind, axes) in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def two_products(seed: int = 0) -> onnx.ModelProto:
    """x [1, tokens, 128] -> MatMul 160 -> Relu -> MatMul 128."""
    random = np.random.default_rng(seed)
    weights = {
        "w1": random.normal(0, 0.1, (WIDTH, HIDDEN)).astype(np.float32),
        "w2": random.normal(0, 0.1, (HIDDEN, WIDTH)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["a"], name="relu"),
        helper.make_node("MatMul", ["a", "w2"], ["y"], name="second"),
    ]
    return model(nodes, weights, {"x": (TensorProto.FLOAT, [1, "tokens", WIDTH])}, "y")


def convolutions() -> onnx.ModelProto:
    """image [1, 3, 16, 16] -> Conv, Relu, Conv with stride and pads, Add of a 1x1 Conv, Gemm."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> Array:
        return random.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)

    weights = {
        "c1": weight(32, 3, 3, 3),
        "b1": weight(32) * 0.1,
        "c2": weight(64, 32, 3, 3),
        "c3": weight(64, 32, 1, 1),
        "g": weight(300, 64),
        "gb": weight(300) * 0.1,
        "axes": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "c1", "b1"], ["h1"], name="stem", pads=[1] * 4),
        helper.make_node("Relu", ["h1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "c2"], ["h2"], name="wide", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Conv", ["r1", "c3"], ["h3"], name="shortcut", strides=[2, 2]),
        helper.make_node("Add", ["h2", "h3"], ["sum"], name="sum"),
        helper.make_node("Relu", ["sum"], ["r2"], name="relu2"),
        helper.make_node("ReduceMean", ["r2", "axes"], ["pooled"], name="pool", keepdims=0),
        helper.make_node("Gemm", ["pooled", "g", "gb"], ["logits"], name="head", transB=1),
    ]
    return model(nodes, weights, {"image": (TensorProto.FLOAT, [1, 3, 16, 16])}, "logits")


def tokens(count: int, seed: int = 1, length: int = 24) -> list[dict[str, Array]]:
    """Correlated rows, as layers see them: few directions hold most of the energy."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(16, WIDTH)).astype(np.float32)
    rows = [random.normal(size=(1, length, 16)).astype(np.float32) @ mixing for _ in range(count)]
    return [{"x": r + random.normal(0, 0.1, r.shape).astype(np.float32)} for r in rows]


def images(count: int, seed: int = 1) -> list[dict[str, Array]]:
    random = np.random.default_rng(seed)
    coarse = [random.normal(size=(1, 3, 4, 4)) for _ in range(count)]
    return [{"image": np.kron(c, np.ones((1, 1, 4, 4))).astype(np.float32)} for c in coarse]


def folder(path: Path, made: onnx.ModelProto) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(made, str(path / "model.onnx"))
    return path


def calibration(path: Path, feeds: list[dict[str, Array]]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    write_inputs(feeds, path / CALIBRATION)
    return path


def run(made: onnx.ModelProto | Path, feeds: list[dict[str, Array]]) -> Array:
    """Return the first output of every sample, stacked."""
    source = made.SerializeToString() if isinstance(made, onnx.ModelProto) else str(made)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, feed)[0] for feed in feeds])


def relative_error(actual: Array, expected: Array) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
