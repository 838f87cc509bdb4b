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


def feed_forward(activation: str, opset: int = 18) -> onnx.ModelProto:
    """Two matrix products with an activation between, as exporters write it."""
    random = np.random.default_rng(2)
    weights = {
        "w1": random.normal(size=(8, 16)).astype(np.float32),
        "w2": random.normal(size=(16, 8)).astype(np.float32),
        "half": np.array(0.5, np.float32),
        "one": np.array(1, np.float32),
        "root": np.array(1.4142135, np.float32),
    }
    gelu = {
        "relu": [helper.make_node("Relu", ["h"], ["a"])],
        "erf": [
            helper.make_node("Div", ["h", "root"], ["d"]),
            helper.make_node("Erf", ["d"], ["e"]),
            helper.make_node("Add", ["e", "one"], ["p"]),
            helper.make_node("Mul", ["h", "p"], ["m"]),
            helper.make_node("Mul", ["m", "half"], ["a"]),
        ],
        "softmax": [helper.make_node("Softmax", ["h"], ["a"])],
    }[activation]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="up"),
        *gelu,
        helper.make_node("MatMul", ["a", "w2"], ["y"], name="down"),
    ]
    graph = helper.make_graph(
        nodes,
        "feed_forward",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "s", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "s", 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize(
    ("activation", "only", "scaled"),
    [
        ("relu", True, ["down"]),
        ("erf", True, ["down"]),
        ("softmax", True, []),
        ("softmax", False, ["up", "down"]),
        ("erf", False, ["up", "down"]),
    ],
)
def test_scaling_per_token_keeps_the_numbers(
    activation: str, only: bool, scaled: list[str], opset: int
) -> None:
    from olive_build.rewrites.per_token_scale import per_token_scale

    random = np.random.default_rng(3)
    x = (random.normal(size=(2, 5, 8)) * np.array([1e-3, 1, 10, 100, 0])[:, None]).astype(
        np.float32
    )
    model = feed_forward(activation, opset)
    before = outputs(model, x)
    result = per_token_scale(model, after_activations_only=only)
    assert result.count == len(scaled)
    names = [node.name.removesuffix("/rescaled") for node in model.graph.node]
    assert [name for name in names if names.count(name) == 2][::2] == scaled
    largest = np.maximum(np.abs(before).max(-1, keepdims=True), 1e-6)
    assert (np.abs(outputs(model, x) - before) / largest).max() < 2e-6


def test_scaling_per_token_helps_the_small_tokens_under_int8(tmp_path: object) -> None:
    from pathlib import Path

    from onnxruntime.quantization import quantize_dynamic

    from olive_build.rewrites.per_token_scale import per_token_scale

    folder = Path(str(tmp_path))
    x = np.random.default_rng(4).normal(size=(1, 2, 8)).astype(np.float32)
    x[0, 1] *= 100
    errors = []
    for scaled in (False, True):
        model = feed_forward("relu")
        exact = outputs(model, x)
        if scaled:
            per_token_scale(model, after_activations_only=False)
        onnx.save(model, str(folder / "fp32.onnx"))
        quantize_dynamic(folder / "fp32.onnx", folder / "int8.onnx", per_channel=True)
        difference = outputs(onnx.load(str(folder / "int8.onnx")), x) - exact
        errors.append(np.abs(difference[0, 0]).max() / np.abs(exact[0, 0]).max())
    assert errors[1] < 0.1 * errors[0]
