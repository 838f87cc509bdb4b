"""Padding's rows are zeroed where hidden states begin; real tokens never notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from cpu_graphs import FLOAT, HEADS, INT64, RANDOM, model_of, normal, run
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from olive_build.rewrites.mask_padding_rows import mask_padding_rows
from olive_build.rewrites.tanh_gelu import tanh_gelu

WIDTH = 32


def encoder(end: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """Embedding, projections, attention with a padding mask, residual; `end` makes y of h."""
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["attention_mask/padding"], to=6),
        helper.make_node("Gather", ["table", "input_ids"], ["word"]),
        helper.make_node("LayerNormalization", ["word", "g", "b"], ["x"], "norm"),
        helper.make_node("MatMul", ["x", "qkv"], ["packed"], "qkv/MatMul"),
        helper.make_node("Split", ["packed"], ["q", "k", "v"], axis=-1, num_outputs=3),
        helper.make_node(
            "MultiHeadAttention",
            ["q", "k", "v", "", "attention_mask/padding"],
            ["mixed"],
            domain="com.microsoft",
            num_heads=HEADS,
        ),
        helper.make_node("Add", ["mixed", "x"], ["h"]),
        *(end or [helper.make_node("Identity", ["h"], ["y"])]),
    ]
    table = normal(20, WIDTH)
    table[0] *= 40  # padding's own embedding, which no training ever touched
    shape = ["batch", "tokens"]
    stored = {
        "table": table,
        "g": np.linspace(0.5, 1.5, WIDTH).astype(np.float32),
        "b": normal(WIDTH),
        "qkv": normal(WIDTH, 3 * WIDTH),
        "axis": np.array([1], np.int64),
    }
    inputs = {"input_ids": (INT64, shape), "attention_mask": (INT64, shape)}
    return model_of(nodes, inputs, {"y": None}, stored)


def padded() -> dict[str, np.ndarray]:
    mask = np.array([[1] * 6, [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], np.int64)
    return {"input_ids": RANDOM.integers(1, 20, mask.shape) * mask, "attention_mask": mask}


def test_real_tokens_keep_their_numbers_and_padding_is_zeroed() -> None:
    model = encoder()
    feeds = padded()
    real = feeds["attention_mask"] == 1
    (expected,) = run(model, feeds)
    assert mask_padding_rows(model).count == 1
    (found,) = run(model, feeds)
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)
    assert np.abs(found[~real] - expected[~real]).max() > 0.1


@pytest.mark.parametrize(
    "end",
    [
        [
            helper.make_node("ReduceMean", ["h", "axis"], ["m"]),
            helper.make_node("Add", ["m", "h"], ["y"]),
        ],
        [helper.make_node("CumSum", ["h", "one"], ["y"])],
    ],
    ids=["a mean over tokens", "a running sum"],
)
def test_where_rows_mix_outside_attention_nothing_is_changed(end: list[onnx.NodeProto]) -> None:
    model = encoder(end)
    model.graph.initializer.append(numpy_helper.from_array(np.int64(1), "one"))
    before = model.SerializeToString()
    result = mask_padding_rows(model)
    assert result.count == 0
    assert "rows mix outside attention" in result.declined[0]
    assert model.SerializeToString() == before


def test_without_a_padding_mask_there_is_nothing_to_do() -> None:
    model = encoder()
    for node in model.graph.node:
        if node.op_type == "MultiHeadAttention":
            del node.input[4:]
    result = mask_padding_rows(model)
    assert result.declined == ("no attention with a padding mask and a projection of its own",)


def test_padding_no_longer_sets_the_range_of_a_batch(tmp_path: Any) -> None:
    feeds = padded()
    real = feeds["attention_mask"] == 1
    errors = []
    for name in ("plain", "masked"):
        model = encoder()
        # Without the normalization, which would hide what padding's embedding is.
        model.graph.node[3].input[0] = "word"
        model.graph.node[6].input[1] = "word"
        (expected,) = run(model, feeds)
        if name == "masked":
            assert mask_padding_rows(model).count == 1
        onnx.save(model, tmp_path / "model.onnx")
        quantize_dynamic(
            tmp_path / "model.onnx", tmp_path / "int8.onnx", op_types_to_quantize=["MatMul"]
        )
        (found,) = run(onnx.load(tmp_path / "int8.onnx"), feeds)
        errors.append(float(np.square(found[real] - expected[real]).mean()))
    assert errors[1] < errors[0] / 20


def test_gelu_by_tanh_is_off_by_five_in_ten_thousand_at_most() -> None:
    nodes = [
        helper.make_node("BiasGelu", ["x", "bias"], ["a"], domain="com.microsoft"),
        helper.make_node("Gelu", ["x"], ["c"], domain="com.microsoft"),
        helper.make_node("Concat", ["a", "c"], ["y"], axis=0),
    ]
    x = np.linspace(-9, 9, 4096, dtype=np.float32).reshape(64, 64)
    model = model_of(nodes, {"x": (FLOAT, [64, 64])}, {"y": [128, 64]}, {"bias": normal(64)})
    (expected,) = run(model, {"x": x})
    assert tanh_gelu(model).count == 2
    assert {node.op_type for node in model.graph.node} == {"FastGelu", "Concat"}
    (found,) = run(model, {"x": x})
    assert 0 < np.abs(found - expected).max() <= 5e-4


def test_a_gelu_of_onnx_itself_is_left_alone() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    model = model_of([node], {"x": (TensorProto.FLOAT, [2])}, {"y": [2]}, {})
    assert tanh_gelu(model).count == 0
