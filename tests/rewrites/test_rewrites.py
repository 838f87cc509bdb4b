"""Each rewrite keeps the numbers, and says why it declines."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.clean import name_nodes, strip_metadata
from olive_build.rewrites.fold_constant_concat import fold_constant_concat
from olive_build.rewrites.separate_projection import separate_projection

BATCH, LENGTH, HIDDEN, HEADS = 2, 5, 8, 2


def attention_model(**changes: object) -> onnx.ModelProto:
    """com.microsoft::Attention with a Concat of three weights, as fusion leaves it."""
    random = np.random.default_rng(0)
    parts = {f"w{p}": random.normal(size=(HIDDEN, HIDDEN)).astype(np.float32) for p in "qkv"}
    bias = random.normal(size=3 * HIDDEN).astype(np.float32)
    nodes = [
        helper.make_node("Concat", list(parts), ["packed"], axis=1),
        helper.make_node(
            "Attention",
            ["x", "packed", "bias", *changes.get("more_inputs", ["", "", "attention_bias"])],
            ["y"],
            name="layer0",
            domain="com.microsoft",
            num_heads=HEADS,
            **changes.get("attributes", {"qkv_hidden_sizes": [HIDDEN] * 3}),
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "s", HIDDEN]),
            helper.make_tensor_value_info(
                "attention_bias", TensorProto.FLOAT, ["b", HEADS, "s", "s"]
            ),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "s", HIDDEN])],
        [numpy_helper.from_array(value, name) for name, value in {**parts, "bias": bias}.items()],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(1)
    feeds = {
        "x": random.normal(size=(BATCH, LENGTH, HIDDEN)).astype(np.float32),
        "attention_bias": random.normal(size=(BATCH, HEADS, LENGTH, LENGTH)).astype(np.float32),
    }
    return session.run(None, feeds)[0]


def test_folding_a_concat_of_weights_keeps_the_numbers_and_drops_the_parts() -> None:
    model = attention_model()
    before = run(model)
    result = fold_constant_concat(model)
    assert result.count == 1
    assert [node.op_type for node in model.graph.node] == ["Attention"]
    assert {tensor.name for tensor in model.graph.initializer} == {"packed", "bias"}
    np.testing.assert_array_equal(run(model), before)


def test_folding_leaves_a_concat_of_activations_alone() -> None:
    model = attention_model()
    model.graph.node[0].input[0] = "x"
    assert fold_constant_concat(model).count == 0
    assert [node.op_type for node in model.graph.node] == ["Concat", "Attention"]


def test_separating_the_projection_keeps_the_numbers() -> None:
    model = attention_model()
    before = run(model)
    fold_constant_concat(model)
    result = separate_projection(model)
    assert (result.count, result.declined) == (1, ())
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["MatMul", "Split", "MultiHeadAttention"]
    np.testing.assert_allclose(run(model), before, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"more_inputs": ["mask"]}, "mask index"),
        ({"more_inputs": ["", "past"]}, "KV cache"),
        ({"attributes": {"unidirectional": 1}}, "unidirectional"),
        ({"attributes": {"qkv_hidden_sizes": [8, 8, 16]}}, "differ in size"),
    ],
)
def test_separating_declines_with_a_reason(changes: dict[str, object], reason: str) -> None:
    model = attention_model(**changes)
    before = model.SerializeToString()
    result = separate_projection(model)
    assert result.count == 0
    assert reason in result.declined[0]
    assert result.declined[0].startswith("layer0: ")
    assert model.SerializeToString() == before


def traced_node(op: str, scopes: str) -> onnx.NodeProto:
    node = helper.make_node(op, ["x"], ["y"])
    for key, value in (
        ("pkg.torch.onnx.name_scopes", scopes),
        ("pkg.torch.onnx.stack_trace", 'File "/home/somebody/model.py", line 1'),
    ):
        node.metadata_props.add(key=key, value=value)
    return node


def test_nodes_are_named_by_the_module_they_come_from() -> None:
    scopes = "['', 'model', 'model.encoder', 'model.encoder.layer.0.dense', 'linear']"
    graph = helper.make_graph(
        [traced_node("MatMul", scopes), traced_node("MatMul", scopes), traced_node("Cast", "['']")],
        "g",
        [],
        [],
    )
    model = helper.make_model(graph)
    name_nodes(model)
    names = [node.name for node in model.graph.node]
    assert names == ["encoder.layer.0.dense/MatMul", "encoder.layer.0.dense/MatMul_2", "Cast"]


def test_stripping_leaves_no_path_of_a_machine_even_in_subgraphs() -> None:
    branch = helper.make_graph([traced_node("Neg", "['']")], "branch", [], [])
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    chosen.doc_string = "/home/somebody"
    model = helper.make_model(helper.make_graph([chosen], "g", [], []))
    model.metadata_props.add(key="where", value="/home/somebody")
    strip_metadata(model)
    assert b"somebody" not in model.SerializeToString()
