"""Mask fills: the same bits from softmax, a range that can be quantized, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.repair_mask_fill import (
    fill_from_scores,
    repair_mask_fill,
    values_with_fill,
)

LOWEST = float(np.finfo(np.float32).min)
INFINITY = float("-inf")


def where_then_add() -> list[onnx.NodeProto]:
    """As exporters write BERT: Where(visible, 0, fill) is added to the scores."""
    return [
        helper.make_node("Where", ["visible", "zero", "fill"], ["mask"], name="where"),
        helper.make_node("Add", ["scores", "mask"], ["masked"], name="add"),
    ]


def times_then_add() -> list[onnx.NodeProto]:
    """As older exporters write it: (1 - visible) * fill."""
    return [
        helper.make_node("Cast", ["visible"], ["shown"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "shown"], ["hidden"], name="sub"),
        helper.make_node("Mul", ["hidden", "fill"], ["mask"], name="mul"),
        helper.make_node("Add", ["mask", "scores"], ["masked"], name="add"),
    ]


def where_alone() -> list[onnx.NodeProto]:
    """As torch's masked_fill is exported."""
    return [helper.make_node("Where", ["visible", "scores", "fill"], ["masked"], name="where")]


PATTERNS = {"where-add": where_then_add, "mul-add": times_then_add, "where": where_alone}


def masked_softmax(
    nodes: list[onnx.NodeProto], fill: float, outputs: tuple[str, ...] = ("shares",)
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [*nodes, helper.make_node("Softmax", ["masked"], ["shares"], name="softmax", axis=-1)],
        "masked",
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", "keys"]),
            helper.make_tensor_value_info("visible", TensorProto.BOOL, ["rows", "keys"]),
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", "keys"]) for n in outputs],
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in (("zero", 0.0), ("one", 1.0), ("fill", fill))
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def run(model: onnx.ModelProto, **feeds: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["shares"], feeds)[0]


def fills(model: onnx.ModelProto) -> dict[str, float]:
    return {t.name: float(numpy_helper.to_array(t).min()) for t in model.graph.initializer}


@pytest.mark.parametrize(
    ("pattern", "fill"),
    [
        *((pattern, fill) for pattern in PATTERNS for fill in (LOWEST, -1e9)),
        # 0 * -inf is no mask.
        *((pattern, INFINITY) for pattern in PATTERNS if pattern != "mul-add"),
    ],
)
def test_the_result_has_the_same_bits(pattern: str, fill: float) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(0, 8, (50, 12)).astype(np.float32)
    visible = random.random((50, 12)) < 0.5
    visible[:, 0] = True
    model = masked_softmax(PATTERNS[pattern](), fill)
    expected = run(model, scores=scores, visible=visible)
    assert repair_mask_fill(model).count == 1
    assert fills(model)["fill/repaired"] == -1e4
    # onnxruntime warns of a value that nothing reads whenever it loads the file.
    assert fills(model).keys() <= {name for node in model.graph.node for name in node.input}
    np.testing.assert_array_equal(run(model, scores=scores, visible=visible), expected)
    smaller = fill_from_scores(model, [{"scores": scores, "visible": visible}])
    assert -300 < smaller < -104
    assert repair_mask_fill(model, fill=smaller).count == 1
    assert min(fills(model)["fill/repaired/repaired"], 0) == smaller
    np.testing.assert_array_equal(run(model, scores=scores, visible=visible), expected)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-40, 40, width=32), min_size=2, max_size=9),
    st.integers(1, 2**9 - 1),
)
def test_a_fill_of_104_more_than_the_spread_is_exact(scores: list[float], bits: int) -> None:
    row = np.array([scores], np.float32)
    visible = np.array([[bool(bits >> i & 1) for i in range(len(scores))]])
    visible[0, 0] |= not visible.any()
    spread = float(row.max() - row.min())
    kept = np.where(visible, row, row + np.float32(LOWEST))
    small = np.where(visible, row, row + np.float32(np.floor(-104 - spread)))

    def softmax(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore"):
            shares = np.exp(x - x.max(-1, keepdims=True))
        return shares / shares.sum(-1, keepdims=True)

    np.testing.assert_array_equal(softmax(small), softmax(kept))


def test_a_constant_that_something_else_reads_keeps_its_value_there() -> None:
    nodes = [
        *where_then_add(),
        helper.make_node("Max", ["scores", "fill"], ["floored"], name="max"),
    ]
    model = masked_softmax(nodes, LOWEST, ("shares", "floored"))
    assert repair_mask_fill(model).count == 1
    assert model.graph.node[2].input[1] == "fill"
    assert fills(model)["fill"] == LOWEST


def test_a_mask_that_is_an_output_stays_and_the_reason_is_given() -> None:
    model = masked_softmax(where_then_add(), LOWEST, ("shares", "mask"))
    before = model.SerializeToString()
    result = repair_mask_fill(model)
    assert result.count == 0
    assert result.declined == ("where: the mask is in the output 'mask'",)
    assert model.SerializeToString() == before


def test_a_mask_that_is_multiplied_with_anything_stays() -> None:
    nodes = [
        helper.make_node("Mul", ["scores", "fill"], ["mask"], name="mul"),
        helper.make_node("Add", ["mask", "scores"], ["masked"], name="add"),
    ]
    result = repair_mask_fill(masked_softmax(nodes, LOWEST))
    assert result.count == 0
    assert result.declined == ("mul: 'scores' may be more than 0 and 1",)


def test_a_learnt_bias_is_no_fill() -> None:
    model = masked_softmax([helper.make_node("Add", ["scores", "fill"], ["masked"])], -200.0)
    assert repair_mask_fill(model, fill=-120.0).count == 0


def test_a_fused_attention_keeps_its_scores_so_the_fill_is_large() -> None:
    model = masked_softmax(where_then_add(), LOWEST)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    del model.graph.node[1:]
    inputs = ["scores", "scores", "scores", "", "", "mask"]
    model.graph.node.append(
        helper.make_node(
            "MultiHeadAttention", inputs, ["shares"], domain="com.microsoft", num_heads=1
        )
    )
    assert repair_mask_fill(model).count == 1
    assert fill_from_scores(model, []) == -1e4


def test_the_real_model_keeps_its_outputs_and_gets_a_small_range(
    minilm: Path, sentences: list[dict[str, npt.NDArray[np.int64]]]
) -> None:
    model = onnx.load(str(minilm))
    masks = next(node for node in model.graph.node if node.op_type == "Where").output[0]
    padded = {name: np.pad(value, ((0, 0), (0, 5))) for name, value in sentences[0].items()}

    def values(wanted: str) -> npt.NDArray[np.float32]:
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        if wanted == masks:
            shown.graph.output.append(helper.make_empty_tensor_value_info(masks))
        session = onnxruntime.InferenceSession(shown.SerializeToString())
        return session.run([wanted], padded)[0]

    output = model.graph.output[0].name
    expected = values(output)
    assert values(masks).min() < -1e38
    assert repair_mask_fill(model).count == 1
    np.testing.assert_array_equal(values(output), expected)
    fill = fill_from_scores(model, sentences)
    assert repair_mask_fill(model, fill=fill).count == 1
    assert -400 < values(masks).min() == fill < -104
    np.testing.assert_array_equal(values(output), expected)


def test_the_values_that_can_hold_the_fill_are_named() -> None:
    model = masked_softmax(where_then_add(), LOWEST)
    repair_mask_fill(model, fill=-150.0)
    assert values_with_fill(model) == {"mask": -150.0, "masked": -150.0}
