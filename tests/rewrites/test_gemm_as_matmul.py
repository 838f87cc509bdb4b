"""A Gemm is a product and a sum; what is more than that stays. Outputs keep their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.gemm_as_matmul import gemm_as_matmul
from olive_build.rewrites.rename_outputs import rename_outputs

INPUTS, OUTPUTS = 6, 4
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3, INPUTS)).astype(np.float32)
BIAS = RANDOM.standard_normal(OUTPUTS).astype(np.float32)


def graph_of(nodes: list[onnx.NodeProto], *, turned: bool = False) -> onnx.ModelProto:
    shape = (OUTPUTS, INPUTS) if turned else (INPUTS, OUTPUTS)
    weight = RANDOM.standard_normal(shape).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "gemm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def gemm(inputs: str = "x w b", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Gemm", inputs.split(), ["y"], name="fc1", **attributes)


def run(model: onnx.ModelProto) -> Any:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": X})[0]


@pytest.mark.parametrize("inputs", ["x w b", "x w"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_gemm_is_a_product_and_a_sum(inputs: str, turned: bool) -> None:
    model = graph_of([gemm(inputs, transB=int(turned))], turned=turned)
    before = run(model)
    assert gemm_as_matmul(model).count == 1
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["MatMul", "Add"][: len(inputs.split()) - 1]
    assert model.graph.node[0].name == "fc1"
    np.testing.assert_allclose(run(model), before, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (gemm(alpha=0.5), "scales"),
        (gemm(beta=2.0), "scales"),
        (gemm(transA=1), "transposed"),
        (gemm("w x"), None),
    ],
)
def test_more_than_that_stays(node: onnx.NodeProto, why: str | None) -> None:
    model = graph_of([node])
    result = gemm_as_matmul(model)
    assert result.count == 0 and model.graph.node[0].op_type == "Gemm"
    assert why is None or why in result.declined[0]


def test_a_weight_that_others_read_stays() -> None:
    other = helper.make_node("Identity", ["w"], ["same"], name="other")
    result = gemm_as_matmul(graph_of([gemm(), other]))
    assert result.count == 0 and "another node reads its weight" in result.declined[0]


def test_outputs_get_their_names_back() -> None:
    model = graph_of([gemm()])
    before = run(model)
    model.graph.node[0].output[0] = model.graph.output[0].name = "y_Q4"
    assert rename_outputs(model, ["y"]) == 1
    assert model.graph.output[0].name == "y"
    np.testing.assert_array_equal(run(model), before)
    assert rename_outputs(model, ["y"]) == 0
