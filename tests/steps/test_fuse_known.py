"""Attention of any architecture is fused where its pattern is known, and else left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.steps import fuse
from olive_build.steps.fuse import FuseKnownAttention, SeparateProjection, difference
from olive_build.steps.notes import notes_in


def model(path: Path, scale: float = 1.0) -> Path:
    """Write a graph without any attention: hidden states times a matrix, and Softmax."""
    path.mkdir(parents=True, exist_ok=True)
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32) * scale, "weight")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=-1),
    ]
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch_size", "sequence_length", 4])
        for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [weight])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, str(path / "model.onnx"))
    return path


def test_a_graph_whose_pattern_is_not_known_stays_as_it_is(tmp_path: Path) -> None:
    before, out = model(tmp_path / "before"), tmp_path / "out"
    out.mkdir()
    FuseKnownAttention().run({"model": before}, out)
    assert (out / "model.onnx").read_bytes() == (before / "model.onnx").read_bytes()
    (line,) = notes_in(out)
    assert line.startswith("left out: ")


def test_a_fused_graph_that_gives_something_else_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, out = model(tmp_path / "before"), tmp_path / "out"
    out.mkdir()

    def wrong(_: Path, made: Path) -> int:
        model(made, scale=1.01)
        return 1

    monkeypatch.setattr(FuseKnownAttention, "_fused", staticmethod(wrong))
    FuseKnownAttention().run({"model": before}, out)
    assert (out / "model.onnx").read_bytes() == (before / "model.onnx").read_bytes()
    assert "attention was fused to something else" in notes_in(out)[0]


def test_graphs_are_compared_at_several_sizes(tmp_path: Path) -> None:
    one, same, other = (
        model(tmp_path / name, scale) / "model.onnx"
        for name, scale in (("a", 1.0), ("b", 1.0), ("c", 1.5))
    )
    assert difference(one, same) == 0.0
    assert difference(one, other) > fuse.TOLERANCE
    broken = onnx.load(str(other))
    broken.graph.node[0].op_type = "Gemm"  # wants two axes
    onnx.save(broken, str(other))
    with pytest.raises(StepError):
        difference(one, other)


def test_projections_are_left_where_no_attention_was_fused_unless_asked(tmp_path: Path) -> None:
    before, out = model(tmp_path / "before"), tmp_path / "out"
    out.mkdir()
    SeparateProjection(asked=False).run({"model": before}, out)
    assert "no attention is fused" in notes_in(out)[0]
    with pytest.raises(StepError, match="could not be separated"):
        SeparateProjection().run({"model": before}, out)


def typed(path: Path, scale: float, rows: int = 2) -> Path:
    """Write a graph that looks up what kind each token is of."""
    path.mkdir(parents=True, exist_ok=True)
    table = np.array([[1.0, 2.0], [3.0, 4.0 * scale]], np.float32)[:rows]
    node = helper.make_node("Gather", ["table", "token_type_ids"], ["y"])
    axes = ["batch_size", "sequence_length"]
    given = helper.make_tensor_value_info("token_type_ids", TensorProto.INT64, axes)
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, [*axes, 2])
    stored = [numpy_helper.from_array(table, "table")]
    graph = helper.make_graph([node], "g", [given], [gives], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, str(path / "model.onnx"))
    return path / "model.onnx"


def test_tokens_of_a_second_kind_are_compared_too_where_a_model_knows_them(tmp_path: Path) -> None:
    assert difference(typed(tmp_path / "a", 1.0), typed(tmp_path / "b", 1.2)) > fuse.TOLERANCE
    one = [typed(tmp_path / name, 1.0, rows=1) for name in ("c", "d")]
    assert difference(*one) == 0.0
