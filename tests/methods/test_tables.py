"""A table for lookup and product becomes one int8 table; what needs more of it keeps it in fp32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.methods.algorithms.layouts import symmetric_int8
from olive_build.methods.algorithms.tables import quantize_tables
from olive_build.steps.model_check import LARGE_WEIGHT

WORDS, SIZE = 400, 64
TABLE = np.random.default_rng(0).normal(0, 0.1, (WORDS, SIZE)).astype(np.float32)
TABLE[7] = 0
TABLE[8] *= 30  # a word that would take the others' bits with one scale for all


def tied(inputs: str = "h table", **attributes: Any) -> onnx.ModelProto:
    """ids [tokens] -> rows -> a layer -> scores [tokens, words] by the same table."""
    random = np.random.default_rng(1)
    weights = {
        "table": TABLE,
        "w": random.normal(0, 0.2, (SIZE, SIZE)).astype(np.float32),
        "bias": random.normal(0, 1, WORDS).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"], name="embed_tokens"),
        helper.make_node("MatMul", ["x", "w"], ["h"], name="layer"),
        helper.make_node(
            "Gemm", inputs.split(), ["scores"], name="proj_out", **{"transB": 1, **attributes}
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", SIZE]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, ids: npt.NDArray[np.int64]) -> list[npt.NDArray[Any]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"ids": ids})  # type: ignore[no-any-return]


def test_lookup_and_product_read_one_int8_table() -> None:
    assert WORDS * SIZE >= LARGE_WEIGHT
    before, model = tied(), tied()
    result = quantize_tables(model, set())
    assert (result.count, result.declined) == (2, ())
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QGemm") == 1 and "Gemm" not in kinds
    assert ("com.microsoft", 1) in {(item.domain, item.version) for item in model.opset_import}
    tables = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) == WORDS * SIZE]
    assert [(t.data_type, t.name) for t in tables] == [(TensorProto.INT8, "table_int8")]
    names = {node.name for node in model.graph.node}
    assert {"embed_tokens", "proj_out"} <= names  # reports and `exclude` know them by these
    ids = np.arange(0, WORDS, 3)
    rows, fp32_rows = run(model, ids)[0], run(before, ids)[0]
    # A row is off by half a step of its own scale at most, whatever the others are.
    steps = np.abs(TABLE[ids]).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(rows - fp32_rows) <= steps / 2 + 1e-7)
    # Scores one token at a time, as text is written: tokens together share a range.
    for token in range(9, WORDS, 9):
        one = np.array([token])
        scores, expected = run(model, one)[1][0], run(before, one)[1][0]
        assert np.linalg.norm(scores - expected) < 0.05 * np.linalg.norm(expected)
        assert scores.argmax() == expected.argmax()


def test_the_product_is_exact_for_the_int8_rows_but_for_the_range_of_its_input() -> None:
    model = tied()
    quantize_tables(model, set())
    ids = np.arange(40)
    rows, scale = symmetric_int8(TABLE, 0)
    table = rows * scale
    weight = next(t for t in model.graph.initializer if t.name == "w")
    h = table[ids] @ numpy_helper.to_array(weight)
    # DynamicQuantizeLinear: one step for all tokens, zero within the range.
    step = (max(h.max(), 0) - min(h.min(), 0)) / 255
    zero = np.rint(-min(h.min(), 0) / step)
    seen = (np.clip(np.rint(h / step) + zero, 0, 255) - zero) * step
    np.testing.assert_allclose(run(model, ids)[1], seen @ table.T, atol=2e-3)


@pytest.mark.parametrize(
    "model",
    [
        tied("h table bias"),
        tied(alpha=0.5),
        tied("turned table", transA=1),
    ],
    ids=["a bias", "alpha", "transA"],
)
def test_a_product_that_is_more_keeps_the_table(model: onnx.ModelProto) -> None:
    if "turned" in model.graph.node[2].input:
        model.graph.node.insert(2, helper.make_node("Transpose", ["h"], ["turned"], name="turn"))
    before = model.SerializeToString()
    result = quantize_tables(model, set())
    assert result.count == 0
    assert result.declined == ("table: Gemm 'proj_out' needs it in fp32",)
    assert model.SerializeToString() == before


def test_an_excluded_reader_keeps_the_table_for_both() -> None:
    model = tied()
    before = model.SerializeToString()
    assert quantize_tables(model, {"proj_out"}).count == 0
    assert model.SerializeToString() == before


def test_a_table_that_is_an_output_keeps_its_values() -> None:
    model = tied()
    model.graph.output.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, None))
    assert quantize_tables(model, set()).declined == ("table: the graph's output needs it in fp32",)
