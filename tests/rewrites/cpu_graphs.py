"""Small graphs for the tests of rewrites, and how they are run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HIDDEN, HEADS = 8, 2
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
RANDOM = np.random.default_rng(0)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, list[Any] | None],
    stored: dict[str, np.ndarray],
) -> onnx.ModelProto:
    """Return a graph of opset 18 with onnxruntime's own operators; a shape of None is not said."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> Any:
    """Return the outputs as the graph is written, without the runtime's own fusions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {value.name for value in session.get_inputs()}
    return session.run(None, {name: value for name, value in feeds.items() if name in given})


def normal(*shape: int) -> np.ndarray:
    """Return normal numbers, float32; each call gives others."""
    return RANDOM.normal(size=shape).astype(np.float32)
