"""Rewrites for the CPU's kernels keep the numbers and leave alone what they do not understand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from cpu_graphs import FLOAT, HEADS, HIDDEN, INT64, model_of, normal, run
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.migrate_scale import migrate_scale
from olive_build.rewrites.padding_mask import padding_mask
from olive_build.rewrites.separate_skip_layer_norm import separate_skip_layer_norm
from olive_build.rewrites.zero_input import zero_input


def skip_model(outputs: list[str], bias: bool = True) -> onnx.ModelProto:
    stored = {"g": normal(HIDDEN), "b": normal(HIDDEN), "bias": normal(HIDDEN)}
    names = ["x", "skip", "g", "b", *(["bias"] if bias else [])]
    node = helper.make_node(
        "SkipLayerNormalization", names, outputs, "skip", domain="com.microsoft", epsilon=1e-6
    )
    shape = ["batch", "tokens", HIDDEN]
    return model_of(
        [node],
        {"x": (FLOAT, shape), "skip": (FLOAT, shape)},
        {name: shape for name in outputs if name},
        stored,
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [["y"], ["y", "", "", "sum"]])
def test_skip_layer_norm_taken_apart_keeps_the_numbers(outputs: list[str], bias: bool) -> None:
    model = skip_model(outputs, bias)
    feeds = {"x": normal(2, 3, HIDDEN), "skip": normal(2, 3, HIDDEN)}
    expected = run(model, feeds)
    assert separate_skip_layer_norm(model).count == 1
    onnx.checker.check_model(model)
    assert not [n for n in model.graph.node if n.op_type == "SkipLayerNormalization"]
    for one, other in zip(run(model, feeds), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_the_runtime_does_not_fuse_the_normalization_again(tmp_path: Any) -> None:
    model = skip_model(["y"])
    separate_skip_layer_norm(model)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    operators = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "LayerNormalization" in operators
    assert "SkipLayerNormalization" not in operators


def test_a_skip_layer_norm_whose_mean_is_read_is_left_alone() -> None:
    model = skip_model(["y"])
    model.graph.node[0].output.append("mean")
    model.graph.node.append(helper.make_node("Identity", ["mean"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", FLOAT, None))
    result = separate_skip_layer_norm(model)
    assert (result.count, result.declined) == (0, ("skip: its mean or deviation is read",))


def attention_model(mask_nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray]) -> Any:
    attention = helper.make_node(
        "MultiHeadAttention",
        ["x", "x", "x", "", "", "bias"],
        ["y"],
        "attention",
        domain="com.microsoft",
        num_heads=HEADS,
    )
    shape = ["batch", "tokens", HIDDEN]
    return model_of(
        [*mask_nodes, attention],
        {"x": (FLOAT, shape), "attention_mask": (INT64, ["batch", "tokens"])},
        {"y": shape},
        stored,
    )


def bias_of_mask(fill: float, more: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """bias [batch, 1, 1, keys] spread to [batch, 1, queries, keys]."""
    name = "masked" if more else "bias"
    nodes = [
        helper.make_node("Unsqueeze", ["attention_mask", "axes"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["keep"], to=TensorProto.BOOL),
        helper.make_node("Where", ["keep", "zero", "fill"], ["row"]),
        helper.make_node("Shape", ["attention_mask"], ["length"], start=1),
        helper.make_node("Concat", ["ones", "length", "one"], ["target"], axis=0),
        helper.make_node("Expand", ["row", "target"], [name]),
    ]
    stored = {
        "axes": np.array([1, 2], np.int64),
        "zero": np.float32(0),
        "fill": np.float32(fill),
        "ones": np.array([1, 1], np.int64),
        "one": np.array([1], np.int64),
    }
    return attention_model([*nodes, *(more or [])], stored)


def masks() -> dict[str, np.ndarray]:
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], np.int64)
    return {"x": normal(3, 5, HIDDEN), "attention_mask": mask}


def test_a_bias_that_only_hides_padding_becomes_the_padding_mask() -> None:
    model = bias_of_mask(np.finfo(np.float32).min)
    feeds = masks()
    (expected,) = run(model, feeds)
    assert padding_mask(model).count == 1
    assert sorted(node.op_type for node in model.graph.node) == ["Cast", "MultiHeadAttention"]
    np.testing.assert_allclose(run(model, feeds)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (bias_of_mask(-2.0), "it does more than hide padding"),
        (
            bias_of_mask(-1e9, [helper.make_node("Add", ["masked", "one_f"], ["bias"])]),
            "cannot be run by itself",
        ),
        (
            bias_of_mask(-1e9, [helper.make_node("Trilu", ["masked"], ["bias"], upper=0)]),
            "it does more than hide padding",
        ),
    ],
    ids=["a weak mask", "a graph that does not load", "a causal part"],
)
def test_another_bias_stays_and_the_reason_is_said(model: onnx.ModelProto, reason: str) -> None:
    before = model.SerializeToString()
    result = padding_mask(model)
    assert result.count == 0
    assert reason in result.declined[0]
    assert model.SerializeToString() == before


def test_dead_nodes_outputs_and_weights_go_and_live_ones_stay() -> None:
    model = skip_model(["y"])
    model.graph.node[0].output.extend(["mean", "deviation", "sum"])
    model.graph.node.append(helper.make_node("Neg", ["x"], ["unread"]))
    model.graph.node.append(helper.make_node("Abs", ["unread"], ["unread_too"]))
    model.graph.initializer.append(numpy_helper.from_array(normal(3), "weight"))
    feeds = {"x": normal(2, 3, HIDDEN), "skip": normal(2, 3, HIDDEN)}
    expected = run(model, feeds)
    assert drop_dead(model).count == 6
    assert [list(node.output) for node in model.graph.node] == [["y"]]
    assert {tensor.name for tensor in model.graph.initializer} == {"g", "b", "bias"}
    np.testing.assert_array_equal(run(model, feeds)[0], expected[0])


def test_what_a_subgraph_reads_is_not_dead() -> None:
    branch = helper.make_graph(
        [helper.make_node("Neg", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", FLOAT, None)],
    )
    nodes = [
        helper.make_node("Abs", ["x"], ["inner"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    model = model_of(nodes, {"x": (FLOAT, [2])}, {"y": [2]}, {"yes": np.array(True)})
    assert drop_dead(model).count == 0


def linear(x: str, weight: str, y: str) -> onnx.NodeProto:
    return helper.make_node("MatMul", [x, weight], [y], f"{y}/MatMul")


def test_a_scale_behind_a_normalization_of_its_own_is_folded() -> None:
    norm = helper.make_node("LayerNormalization", ["x", "g", "b"], ["n"], "norm")
    model = model_of(
        [norm, linear("n", "w", "y")],
        {"x": (FLOAT, [2, HIDDEN])},
        {"y": [2, 4]},
        {"g": normal(HIDDEN), "b": normal(HIDDEN), "w": normal(HIDDEN, 4)},
    )
    feeds = {"x": normal(2, HIDDEN)}
    (expected,) = run(model, feeds)
    scale = np.geomspace(0.1, 10, HIDDEN).astype(np.float32)
    assert migrate_scale(model, {"n": scale}).declined == ("0 by an explicit Mul",)
    assert len(model.graph.node) == 2
    np.testing.assert_allclose(run(model, feeds)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_scale_behind_a_residual_is_an_explicit_product() -> None:
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g", "b"], ["n"], "norm"),
        linear("n", "w", "h"),
        helper.make_node("Add", ["h", "n"], ["y"]),
    ]
    model = model_of(
        nodes,
        {"x": (FLOAT, [2, HIDDEN])},
        {"y": [2, HIDDEN]},
        {"g": normal(HIDDEN), "b": normal(HIDDEN), "w": normal(HIDDEN, HIDDEN)},
    )
    feeds = {"x": normal(2, HIDDEN)}
    (expected,) = run(model, feeds)
    scale = np.geomspace(0.1, 10, HIDDEN).astype(np.float32)
    assert migrate_scale(model, {"n": scale}).declined == ("1 by an explicit Mul",)
    assert [n.op_type for n in model.graph.node].count("Mul") == 1
    np.testing.assert_allclose(run(model, feeds)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_scale_behind_attention_is_folded_into_the_packed_values() -> None:
    nodes = [
        linear("x", "qkv", "packed"),
        helper.make_node("Split", ["packed"], ["q", "k", "v"], axis=-1, num_outputs=3),
        helper.make_node(
            "MultiHeadAttention",
            ["q", "k", "v", "bias"],
            ["mixed"],
            domain="com.microsoft",
            num_heads=HEADS,
        ),
        linear("mixed", "w", "y"),
    ]
    shape = ["batch", "tokens", HIDDEN]
    model = model_of(
        nodes,
        {"x": (FLOAT, shape)},
        {"y": shape},
        {
            "qkv": normal(HIDDEN, 3 * HIDDEN),
            "bias": normal(3 * HIDDEN),
            "w": normal(HIDDEN, HIDDEN),
        },
    )
    feeds = {"x": normal(2, 5, HIDDEN)}
    (expected,) = run(model, feeds)
    scale = np.geomspace(0.1, 10, HIDDEN).astype(np.float32)
    assert migrate_scale(model, {"mixed": scale}).declined == ("0 by an explicit Mul",)
    assert len(model.graph.node) == 4
    np.testing.assert_allclose(run(model, feeds)[0], expected, rtol=1e-3, atol=1e-4)


def segments_model(reader: str = "Add") -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["word"]),
        helper.make_node("Gather", ["kinds", "segments"], ["kind"], "kinds"),
        helper.make_node(
            reader, ["word", "kind"], ["sum"], **({"axis": 1} if reader != "Add" else {})
        ),
        helper.make_node("Shape", ["segments"], ["size"]),
        helper.make_node("Cast", ["size"], ["length"], to=FLOAT),
        helper.make_node("ReduceSum", ["length"], ["all"]),
        helper.make_node("Add", ["sum", "all"], ["y"]),
    ]
    shape = ["batch", "tokens"]
    stored = {"words": normal(9, HIDDEN), "kinds": normal(2, HIDDEN)}
    inputs = {"ids": (INT64, shape), "segments": (INT64, shape)}
    return model_of(nodes, inputs, {"y": None}, stored)


def test_an_input_that_is_always_zero_is_dropped_and_the_numbers_stay() -> None:
    model = segments_model()
    ids = np.array([[1, 2, 3], [4, 5, 6]], np.int64)
    feeds = {"ids": ids, "segments": np.zeros_like(ids)}
    (expected,) = run(model, feeds)
    assert zero_input(model, "segments", like="ids").count == 2
    assert [value.name for value in model.graph.input] == ["ids"]
    np.testing.assert_array_equal(run(model, feeds)[0], expected)


def test_a_lookup_that_is_not_added_keeps_its_input() -> None:
    model = segments_model("Concat")
    before = model.SerializeToString()
    result = zero_input(model, "segments", like="ids")
    assert (result.count, result.declined) == (0, ("kinds: Gather reads it",))
    assert model.SerializeToString() == before
