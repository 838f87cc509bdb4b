"""int8 in the file, fp32 when it runs: sizes, numbers, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.methods.algorithms.layouts import symmetric_int8
from olive_build.methods.steps.stored_int8 import StoreInt8

WORDS, WIDTH = 300, 128


def model() -> onnx.ModelProto:
    """Return tokens -> lookup -> MatMul -> Gemm by the table's transpose, with one bias."""
    rng = np.random.default_rng(0)
    tensors = {
        "table": rng.standard_normal((WORDS, WIDTH)),
        "inner": rng.standard_normal((WIDTH, WIDTH)) * 10 ** rng.uniform(-3, 0, WIDTH),
        "positions": rng.standard_normal((256, WIDTH)),
        "bias": rng.standard_normal(WIDTH),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["word"], name="lookup"),
        helper.make_node("Gather", ["positions", "ids"], ["position"], name="where"),
        helper.make_node("Add", ["word", "position"], ["both"], name="both"),
        helper.make_node("MatMul", ["both", "inner"], ["product"], name="inner"),
        helper.make_node("Add", ["product", "bias"], ["hidden"], name="biased"),
        helper.make_node("Gemm", ["hidden", "table"], ["logits"], name="head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", WORDS])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in tensors.items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    found.ir_version = 10
    return found


def stored(tmp_path: Path, *exclude: str) -> onnx.ModelProto:
    onnx.save(model(), tmp_path / "model.onnx")
    out = tmp_path / "out"
    out.mkdir()
    StoreInt8(exclude).run({"model": tmp_path}, out)
    found = onnx.load(out / "model.onnx")
    onnx.checker.check_model(found)
    return found


def logits(one: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(one.SerializeToString())
    (found,) = session.run(None, {"ids": np.arange(40)})
    return np.asarray(found)


def test_a_quarter_of_the_bytes_and_the_numbers_of_int8_weights(tmp_path: Path) -> None:
    found = stored(tmp_path)
    assert found.ByteSize() < 0.3 * model().ByteSize()
    kinds = {t.name: t.data_type for t in found.graph.initializer}
    assert {name for name, kind in kinds.items() if kind == TensorProto.INT8} == {
        "table_int8",
        "inner_int8",
        "positions_int8",
    }
    expected = model()
    for tensor, axis in zip(expected.graph.initializer, (0, 1, 0), strict=False):
        integers, scale = symmetric_int8(numpy_helper.to_array(tensor), axis)
        tensor.CopyFrom(numpy_helper.from_array(integers * scale, tensor.name))
    np.testing.assert_allclose(logits(found), logits(expected), rtol=1e-4, atol=1e-3)
    near = np.linalg.norm(logits(found) - logits(model())) / np.linalg.norm(logits(model()))
    assert 0 < near < 0.02


def test_the_runtime_expands_products_once_and_lookups_never(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(stored(tmp_path).SerializeToString(), options)
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    fp32 = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    assert {"table", "inner"} <= fp32
    assert "positions_int8" in {t.name for t in graph.initializer}
    lookups = [node.input[0] for node in graph.node if node.op_type == "Gather"]
    assert "table_int8" in lookups


def test_excluded_nodes_keep_their_weights(tmp_path: Path) -> None:
    found = stored(tmp_path, "inner")
    names = {t.name for t in found.graph.initializer}
    assert "inner" in names and "inner_int8" not in names


def test_a_pattern_without_a_node_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="matches no node"):
        stored(tmp_path, "outer")


def test_nothing_to_store(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="storing weights as int8 found none"):
        stored(tmp_path, "lookup", "where", "inner", "head")


@given(
    arrays.arrays(
        np.float32, (5, 7), elements=st.floats(-100, 100, width=32, allow_subnormal=False)
    ),
    st.sampled_from((0, 1)),
)
def test_no_value_is_off_by_more_than_half_a_step(weight: np.ndarray, axis: int) -> None:
    integers, scale = symmetric_int8(weight, axis)
    assert np.abs(integers.astype(np.int32)).max() <= 127
    assert (np.abs(integers * scale - weight) <= scale * 0.501).all()
