"""Fixed shapes keep the numbers, leave no unknown dimension, and refuse what has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.rewrites.fix_shapes import fix_shapes, unknown_dimensions
from olive_build.steps.fix_shapes import FixShapes

BATCH, LENGTH, HIDDEN = 2, 6, 4
SIZES = {"batch": BATCH, "length": LENGTH}


def positions_model(opset: int = 18) -> onnx.ModelProto:
    """x [batch, length, 4] plus a table's rows by position, cut to the length as exporters do."""
    table = np.random.default_rng(0).normal(size=(32, HIDDEN)).astype(np.float32)
    constants = {
        "table": table,
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "last": np.array([HIDDEN], np.int64),
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], name="Shape"),
        helper.make_node("Slice", ["size", "one", "two", "zero"], ["length"], name="Slice"),
        helper.make_node("Slice", ["table", "zero", "length", "zero"], ["rows"], name="rows"),
        helper.make_node("Add", ["x", "rows"], ["sum"], name="Add"),
        helper.make_node("Concat", ["length", "last"], ["flat"], name="Concat", axis=0),
        helper.make_node("Reshape", ["sum", "all"], ["y"], name="Reshape"),
    ]
    constants["two"] = np.array([2], np.int64)
    constants["all"] = np.array([-1, HIDDEN], np.int64)
    return _model(nodes, constants, ["rows", HIDDEN], opset)


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    output: list[int | str],
    opset: int = 18,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", HIDDEN])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(1).normal(size=(BATCH, LENGTH, HIDDEN)).astype(np.float32)
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("opset", [17, 18, 20, 21])
def test_the_chain_that_computed_the_shape_is_folded(opset: int) -> None:
    model = positions_model(opset)
    fixed = fix_shapes(model, SIZES)
    np.testing.assert_array_equal(run(fixed), run(model))
    assert unknown_dimensions(fixed) == []
    assert [node.op_type for node in fixed.graph.node] == ["Add", "Reshape"]
    dims = [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim]
    assert dims == [BATCH * LENGTH, HIDDEN]


def test_the_given_model_is_left_as_it_was() -> None:
    model = positions_model()
    before = model.SerializeToString()
    fix_shapes(model, SIZES)
    assert model.SerializeToString() == before
    assert unknown_dimensions(model)[0] == f"x [batch, length, {HIDDEN}]"


def test_an_axis_that_is_not_there_is_refused() -> None:
    with pytest.raises(StepError) as caught:
        fix_shapes(positions_model(), {**SIZES, "width": 3})
    assert caught.value.what == "no input of the graph has the axis 'width'"
    assert caught.value.why == "its symbolic axes are batch, length"


def test_an_axis_that_stays_open_is_refused() -> None:
    with pytest.raises(StepError) as caught:
        fix_shapes(positions_model(), {"batch": BATCH})
    assert "values have no fixed shape" in caught.value.what
    assert caught.value.where == f"x [{BATCH}, length, {HIDDEN}]"


def test_a_shape_that_depends_on_values_is_refused() -> None:
    """NonZero gives as many rows as there are values other than zero."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"], name="NonZero"),
        helper.make_node("Cast", ["where"], ["y"], name="Cast", to=TensorProto.FLOAT),
    ]
    with pytest.raises(StepError) as caught:
        fix_shapes(_model(nodes, {}, [3, "found"]), SIZES)
    assert (caught.value.where or "").startswith("y [3, ")
    assert "depend on values" in (caught.value.why or "")


def gather_model(indices: np.ndarray) -> onnx.ModelProto:
    nodes = [helper.make_node("GatherND", ["x", "indices"], ["y"], name="GatherND")]
    return _model(nodes, {"indices": indices}, ["a", "b", "c", "d"])


def test_a_gather_of_everything_becomes_a_reshape() -> None:
    every = np.stack(np.indices((BATCH, LENGTH, HIDDEN)), -1)[None].astype(np.int64)
    model = gather_model(every)
    fixed = fix_shapes(model, SIZES)
    assert [node.op_type for node in fixed.graph.node] == ["Reshape"]
    np.testing.assert_array_equal(run(fixed), run(model))


def test_a_gather_in_another_order_stays() -> None:
    turned = np.stack(np.indices((BATCH, LENGTH, HIDDEN)), -1)[None, ::-1].astype(np.int64)
    model = gather_model(np.ascontiguousarray(turned))
    fixed = fix_shapes(model, SIZES)
    assert [node.op_type for node in fixed.graph.node] == ["GatherND"]
    np.testing.assert_array_equal(run(fixed), run(model))


def test_fused_operators_have_shapes_too() -> None:
    nodes = [
        helper.make_node("BiasGelu", ["x", "bias"], ["y"], name="gelu", domain="com.microsoft")
    ]
    model = _model(nodes, {"bias": np.ones(HIDDEN, np.float32)}, ["batch", "length", HIDDEN])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    fixed = fix_shapes(model, SIZES)
    assert unknown_dimensions(fixed) == []
    np.testing.assert_array_equal(run(fixed), run(model))


def test_the_step_says_when_the_graph_does_not_run_at_that_size(tmp_path: Path) -> None:
    """A table of 32 positions has no 33rd."""
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
    onnx.save(positions_model(), str(before / "model.onnx"))
    FixShapes((("batch", 1), ("length", 32))).run({"model": before}, after)
    fixed = onnx.load(str(after / "model.onnx"))
    assert unknown_dimensions(fixed) == []
    with pytest.raises(StepError):
        FixShapes((("batch", 1), ("length", 33))).run({"model": before}, after)
