"""Passes of the pinned Olive that do damage: proved, so that a newer Olive is noticed.

And those that do not any more, because of what is done about them here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_graphs import folder, model, relative_error, run, tokens, two_products

from olive_build.errors import StepError
from olive_build.methods.steps.dynamic_int8 import QuantizeDynamicInt8
from olive_build.methods.steps.fp16 import ConvertToFp16
from olive_build.methods.steps.weight_only import QuantizeWeights
from olive_build.olive_bridge import run_pass
from olive_build.recipe.passes import REFUSED
from olive_build.rewrites.repeated_nodes import drop_repeated_nodes


@pytest.mark.parametrize("axis", [0, 1])
def test_hqq_computes_noise(axis: int, tmp_path: Path) -> None:
    """`_quantize_matmul` hands on [inputs, outputs], and MatMulNBits reads [outputs, inputs]."""
    source = folder(tmp_path / "m", fan_out()) / "model.onnx"
    run_pass("OnnxHqqQuantization", {"block_size": 32, "axis": axis}, source, tmp_path)
    expected, actual = (run(path, small_tokens()) for path in (source, tmp_path / "model.onnx"))
    assert abs(np.corrcoef(expected.ravel(), actual.ravel())[0, 1]) < 0.5
    assert "OnnxHqqQuantization" in REFUSED


def test_static_quantization_takes_no_data_that_a_recipe_could_give(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", two_products()) / "model.onnx"
    for method in ("MinMax", "Entropy", "Percentile"):
        with pytest.raises(StepError) as caught:
            run_pass("OnnxStaticQuantization", {"calibrate_method": method}, source, tmp_path)
        assert "data_config is required for static quantization" in (caught.value.why or "")
    assert "OnnxStaticQuantization" in REFUSED


def fan_out() -> onnx.ModelProto:
    """Two Adds read one computed value, as all layers of a BERT read the mask."""
    nodes = [
        helper.make_node("Exp", ["x"], ["shared"], name="exp"),
        helper.make_node("Add", ["x", "shared"], ["a"], name="add1"),
        helper.make_node("Mul", ["a", "a"], ["b"], name="mul"),
        helper.make_node("Add", ["b", "shared"], ["c"], name="add2"),
        helper.make_node("MatMul", ["c", "w"], ["y"], name="product"),
    ]
    weight = np.random.default_rng(0).normal(0, 0.1, (128, 128)).astype(np.float32)
    return model(nodes, {"w": weight}, {"x": (TensorProto.FLOAT, [1, "tokens", 128])}, "y")


def small_tokens() -> list[dict[str, np.ndarray]]:
    return [{"x": feed["x"] / 20} for feed in tokens(3)]


def test_the_converter_still_adds_a_cast_twice() -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made = convert_float_to_float16(fan_out(), op_block_list=["Add"], keep_io_types=True)
    names = Counter(node.name for node in made.graph.node)
    assert names["shared_cast_to_fp32_node"] == 2
    assert drop_repeated_nodes(made).count == 1
    assert max(Counter(node.name for node in made.graph.node).values()) == 1


def test_mixed_precision_works_since_the_second_cast_is_dropped(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", fan_out()) / "model.onnx"
    run_pass("OrtMixedPrecision", {"op_block_list": ["Add"]}, source, tmp_path)
    expected = run(source, small_tokens())
    half = [{"x": feed["x"].astype(np.float16)} for feed in small_tokens()]
    assert relative_error(run(tmp_path / "model.onnx", half), expected) < 5e-3


def test_fp16_of_a_graph_that_resizes_twice_by_one_scale_loads(tmp_path: Path) -> None:
    """The scale is cast for each Resize, under one name: DPT, GLPN and DETR have such graphs."""
    nodes = [
        helper.make_node("Sqrt", ["square"], ["scale"], name="root"),
        helper.make_node("Resize", ["x", "", "scale"], ["a"], name="one", mode="linear"),
        helper.make_node("Conv", ["a", "w"], ["b"], name="between", pads=[1] * 4),
        helper.make_node("Resize", ["b", "", "scale"], ["y"], name="two", mode="linear"),
    ]
    weights = {
        "w": np.random.default_rng(0).normal(0, 0.2, (3, 3, 3, 3)).astype(np.float32),
        "square": np.array([1, 1, 4, 4], np.float32),
    }
    made = model(nodes, weights, {"x": (TensorProto.FLOAT, [1, 3, 8, 8])}, "y")
    source = folder(tmp_path / "m", made)
    ConvertToFp16(**FP16).run({"model": source}, tmp_path)
    names = [node.name for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert names.count("scale_cast_to_fp32_node") == 1
    feeds = [{"x": np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)}]
    expected = run(source / "model.onnx", feeds)
    assert relative_error(run(tmp_path / "model.onnx", feeds), expected) < 5e-3


def test_a_pass_that_found_nothing_says_so(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", two_products()) / "model.onnx"
    with pytest.raises(StepError, match="gave its input back unchanged"):
        run_pass("QNNPreprocess", {}, source, tmp_path)


def test_qnn_preprocess_keeps_the_real_models_outputs(
    minilm: Path, sentences: list, tmp_path: Path
) -> None:
    run_pass("QNNPreprocess", {}, minilm, tmp_path)
    found, expected = (run(p, sentences[:2][:1]) for p in (tmp_path / "model.onnx", minilm))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_declared_shape_of_a_weight_does_not_stop_dynamic_int8(tmp_path: Path) -> None:
    """The quantizer turns the weight of a Gemm, and would keep the shape that is declared of it."""
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], name="head", transB=1)]
    weight = np.random.default_rng(0).normal(0, 0.1, (160, 128)).astype(np.float32)
    made = model(nodes, {"w": weight}, {"x": (TensorProto.FLOAT, ["rows", 128])}, "y")
    made.graph.value_info.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [160, 128]))
    source = folder(tmp_path / "m", made)
    options = {"precision": "int8", "quant_preprocess": False}
    with pytest.raises(StepError, match="OnnxDynamicQuantization"):
        run_pass("OnnxDynamicQuantization", options, source / "model.onnx", tmp_path)
    step = QuantizeDynamicInt8(True, "int8", False, False, None, ())
    step.run({"model": source}, tmp_path)
    feeds = [{"x": feed["x"][0]} for feed in tokens(3)]
    expected = run(source / "model.onnx", feeds)
    assert 1e-4 < relative_error(run(tmp_path / "model.onnx", feeds), expected) < 0.05
    assert not list(tmp_path.glob("plain.onnx*"))


FP16 = {"keep_io_types": True, "exclude_operators": (), "exclude": ()}


def large(weight: float) -> onnx.ModelProto:
    made = fan_out()
    made.graph.node.insert(0, helper.make_node("Mul", ["x0", "big"], ["x1"], name="up"))
    made.graph.node.insert(1, helper.make_node("Div", ["x1", "big"], ["x"], name="down"))
    made.graph.input[0].name = "x0"
    made.graph.initializer.append(helper.make_tensor("big", TensorProto.FLOAT, [], [weight]))
    return made


def test_a_weight_that_fp16_cannot_hold_is_named_and_its_exclusion_works(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", large(1e6))
    with pytest.raises(StepError) as caught:
        ConvertToFp16(**FP16).run({"model": source}, tmp_path)
    assert caught.value.what == "fp16 cannot hold what 'up' needs"
    assert caught.value.why == "its weight 'big' holds 1e+06, and 65504 is the largest fp16"
    assert caught.value.hint == "keep it in fp32: `exclude: ['up']`"
    ConvertToFp16(**FP16 | {"exclude": ("up", "down")}).run({"model": source}, tmp_path)
    feeds = [{"x0": feed["x"]} for feed in small_tokens()]
    expected = run(source / "model.onnx", feeds)
    # What passes between the two is fp32 as well.
    assert relative_error(run(tmp_path / "model.onnx", feeds), expected) < 5e-3


def test_a_weight_between_1e4_and_65504_is_not_clipped(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", large(40_000.0))
    feeds = [{"x0": np.full((1, 2, 128), 0.5, np.float32)}]
    ConvertToFp16(**FP16).run({"model": source}, tmp_path)
    expected = run(source / "model.onnx", feeds)
    assert relative_error(run(tmp_path / "model.onnx", feeds), expected) < 5e-3
    stored = [t for t in onnx.load(tmp_path / "model.onnx").graph.initializer if t.name == "big"]
    assert onnx.numpy_helper.to_array(stored[0]) == 40_000


def test_a_value_that_overflows_on_calibration_inputs_is_named(tmp_path: Path) -> None:
    from small_graphs import calibration

    source = folder(tmp_path / "m", fan_out())
    feeds = small_tokens()
    feeds[1]["x"][0, 0, 0] = 12.0  # exp(12) is 162,755
    inputs = {"model": source, "calibration": calibration(tmp_path / "f", feeds)}
    with pytest.raises(StepError) as caught:
        ConvertToFp16(**FP16).run(inputs, tmp_path)
    assert caught.value.where == "node 'exp' (Exp)"
    assert "it computes 162755 on calibration input 1" in (caught.value.why or "")


def test_what_is_infinite_in_fp32_is_so_in_fp16(tmp_path: Path) -> None:
    from small_graphs import calibration

    made = fan_out()
    made.graph.node.insert(0, helper.make_node("Log", ["x0"], ["log"], name="log"))
    made.graph.node.insert(1, helper.make_node("Max", ["log", "least"], ["x"], name="bounded"))
    made.graph.input[0].name = "x0"
    made.graph.initializer.append(helper.make_tensor("least", TensorProto.FLOAT, [], [-2.0]))
    source = folder(tmp_path / "m", made)
    feeds = [{"x0": np.zeros((1, 2, 128), np.float32)}]
    inputs = {"model": source, "calibration": calibration(tmp_path / "f", feeds)}
    ConvertToFp16(**FP16).run(inputs, tmp_path)
    expected = run(source / "model.onnx", feeds)
    assert relative_error(run(tmp_path / "model.onnx", feeds), expected) < 5e-3


WEIGHTS = {
    "algorithm": "rtn", "bits": 4, "block_size": 32, "symmetric": False, "accuracy_level": 0,
    "embeddings": True, "only": None, "exclude": (),
}  # fmt: skip


def test_k_quant_quantizes_embeddings_through_rtn(tmp_path: Path) -> None:
    made = two_products()
    table = np.random.default_rng(3).normal(size=(200, 128)).astype(np.float32)
    made.graph.initializer.append(onnx.numpy_helper.from_array(table, "table"))
    made.graph.node.insert(0, helper.make_node("Gather", ["table", "ids"], ["x"], name="look"))
    del made.graph.input[:]
    made.graph.input.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"]))
    source = folder(tmp_path / "m", made)
    QuantizeWeights(**WEIGHTS | {"algorithm": "k-quant"}).run({"model": source}, tmp_path)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node)
    assert kinds["GatherBlockQuantized"] == 1
    assert kinds["MatMulNBits"] == 2
    feeds = [{"ids": np.arange(24, dtype=np.int64)[None]}]
    expected = run(source / "model.onnx", feeds)
    assert relative_error(run(tmp_path / "model.onnx", feeds), expected) < 0.25


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"algorithm": "k-quant", "symmetric": True}, "k-quant cannot be symmetric"),
        ({"algorithm": "gptq"}, "weights are not quantized by 'gptq' in one step"),
    ],
)
def test_what_an_algorithm_cannot_do_is_refused(
    changed: dict[str, object], said: str, tmp_path: Path
) -> None:
    source = folder(tmp_path / "m", two_products())
    with pytest.raises(StepError) as caught:
        QuantizeWeights(**WEIGHTS | changed).run({"model": source}, tmp_path)
    assert caught.value.what == said
