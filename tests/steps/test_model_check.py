"""What every step's output is checked for: each check fails on what it is there for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.steps import model_check


def linear_model(size: int = 128) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.ones((size, size), np.float32), "encoder.weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "encoder.weight"], ["y"], name="encoder/MatMul")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, size])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_a_missing_operator_is_named_with_what_is_there() -> None:
    with pytest.raises(StepError) as caught:
        model_check.require_operators(linear_model(), ["MatMulInteger"], step="int8")
    assert caught.value.what == "int8 left no MatMulInteger behind"
    assert caught.value.why == "the model's operators are MatMul"


def test_an_unchanged_output_is_refused(tmp_path: Path) -> None:
    for name in ("before.onnx", "after.onnx"):
        onnx.save(linear_model(), str(tmp_path / name))
    with pytest.raises(StepError, match="changed nothing"):
        model_check.require_change(
            tmp_path / "before.onnx", tmp_path / "after.onnx", step="Olive pass 'X'"
        )
    onnx.save(linear_model(64), str(tmp_path / "after.onnx"))
    model_check.require_change(tmp_path / "before.onnx", tmp_path / "after.onnx", step="X")


def test_a_weight_left_in_fp32_is_found_unless_excluded() -> None:
    model = linear_model()
    with pytest.raises(StepError) as caught:
        model_check.require_quantized(model, excluded=[], exempt=[], step="int8")
    assert caught.value.where == "node 'encoder/MatMul' (MatMul), weight 'encoder.weight'"
    assert "exclude: ['encoder/MatMul']" in (caught.value.hint or "")
    model_check.require_quantized(model, excluded=["encoder/MatMul"], exempt=[], step="int8")
    model_check.require_quantized(model, excluded=[], exempt=["MatMul"], step="int8")


def test_a_weight_behind_a_transposition_counts_as_left() -> None:
    model = linear_model()
    turn = helper.make_node("Transpose", ["encoder.weight"], ["turned"], perm=[1, 0])
    model.graph.node.insert(0, turn)
    model.graph.node[1].input[1] = "turned"
    assert model_check.large_float_weights(model) == {"encoder/MatMul": ("turned",)}


def test_an_exclusion_that_matches_nothing_is_a_typo(tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        model_check.matching_nodes(linear_model(), ["encodr/*"], tmp_path)
    assert caught.value.what == "exclude pattern 'encodr/*' matches no node"
    assert "encoder/MatMul" in (caught.value.hint or "")
    assert model_check.matching_nodes(linear_model(), ["encoder/*"], tmp_path) == ["encoder/MatMul"]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a" * 9])
def test_a_damaged_model_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(StepError, match=r"model\.onnx is no ONNX model"):
        model_check.read(path)
