"""Embeddings and convolution weights in int8: values, sizes, and what the runtime makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import (
    convolutions,
    folder,
    images,
    model,
    relative_error,
    run,
    tokens,
    two_products,
)

from olive_build.errors import StepError
from olive_build.methods.algorithms.tables import quantize_tables
from olive_build.methods.steps.stored_int8 import QuantizeConvWeights
from olive_build.methods.steps.tables import QuantizeEmbeddings

ROWS, COLUMNS = 300, 64


def lookups() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    # Rows of very different sizes: one scale for the table would cost the small ones their bits.
    table = random.normal(size=(ROWS, COLUMNS)) * np.geomspace(1e-3, 1e3, ROWS)[:, None]
    table[7] = 0
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["one"], name="words"),
        helper.make_node("Gather", ["short", "ids"], ["two"], name="short"),
        helper.make_node("Add", ["one", "two"], ["y"], name="sum"),
    ]
    weights = {
        "words": table.astype(np.float32),
        "short": np.zeros((ROWS, COLUMNS // 16), np.float32).repeat(16, 1)[:, :1],
    }
    return model(nodes, weights, {"ids": (TensorProto.INT64, ["batch", "tokens"])}, "y")


def every_row() -> list[dict[str, np.ndarray]]:
    return [{"ids": np.arange(ROWS, dtype=np.int64)[None]}]


def test_every_row_has_its_own_scale(tmp_path: Path) -> None:
    made = lookups()
    QuantizeEmbeddings(exclude=()).run({"model": folder(tmp_path / "m", made)}, tmp_path)
    table = numpy_helper.to_array(made.graph.initializer[0])
    found = run(tmp_path / "model.onnx", every_row())[0]
    step = np.abs(table).max(1, keepdims=True) / 127
    assert (np.abs(found - table) <= step / 2 * 1.0001).all()
    integers = np.clip(np.rint(table / np.where(step == 0, 1, step)), -127, 127)
    np.testing.assert_allclose(found, integers * step, rtol=1e-6)
    written = onnx.load(tmp_path / "model.onnx")
    assert "words" in {node.name for node in written.graph.node}
    assert "short" in {tensor.name for tensor in written.graph.initializer}
    assert (tmp_path / "model.onnx").stat().st_size < 0.35 * table.nbytes


def test_the_real_model_hardly_changes(minilm: Path, sentences: list, tmp_path: Path) -> None:
    QuantizeEmbeddings(exclude=()).run({"model": minilm.parent}, tmp_path)
    assert (tmp_path / "model.onnx").stat().st_size < 0.62 * minilm.stat().st_size
    for sentence in sentences[:8]:
        expected, actual = (
            run(p, [sentence])[0].mean(0) for p in (minilm, tmp_path / "model.onnx")
        )
        cosine = actual @ expected / np.linalg.norm(actual) / np.linalg.norm(expected)
        assert 0.9998 < cosine < 0.9999999


def test_a_table_that_something_else_reads_stays_and_the_reason_is_given() -> None:
    made = lookups()
    made.graph.node.append(helper.make_node("Transpose", ["words"], ["turned"], name="tied"))
    before = made.SerializeToString()
    result = quantize_tables(made, set())
    assert result.count == 0
    assert result.declined == ("words: Transpose 'tied' needs it in fp32",)
    assert made.SerializeToString() == before


def test_an_excluded_table_stays(tmp_path: Path) -> None:
    made = lookups()
    step = QuantizeEmbeddings(exclude=("wor*",))
    step.run({"model": folder(tmp_path / "m", made)}, tmp_path)
    found = run(tmp_path / "model.onnx", every_row())
    np.testing.assert_array_equal(found, run(made, every_row()))


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_runtime_computes_with_exactly_the_dequantized_weights(
    per_channel: bool, tmp_path: Path
) -> None:
    made = convolutions()
    source = folder(tmp_path / "m", made)
    QuantizeConvWeights(per_channel=per_channel, exclude=()).run({"model": source}, tmp_path)
    for tensor in made.graph.initializer:
        if tensor.name in ("c2", "g"):
            weight = numpy_helper.to_array(tensor)
            axes = tuple(range(1, weight.ndim)) if per_channel else None
            step = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(127)
            rounded = (np.rint(weight / step) * step).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    feeds = images(4)
    found, expected = run(tmp_path / "model.onnx", feeds), run(made, feeds)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    original = run(source / "model.onnx", feeds)
    assert 1e-4 < relative_error(found, original) < 0.03
    assert (tmp_path / "model.onnx").stat().st_size < 0.5 * (source / "model.onnx").stat().st_size


def test_no_level_of_optimization_changes_the_result(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", convolutions())
    QuantizeConvWeights(per_channel=True, exclude=()).run({"model": source}, tmp_path)
    results = []
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
        results.append(session.run(None, images(1)[0])[0])
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-4, atol=1e-5)


def test_products_beside_convolutions_are_stored_too(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", two_products())
    QuantizeConvWeights(per_channel=True, exclude=()).run({"model": source}, tmp_path)
    stored = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert {t.name for t in stored if t.data_type == TensorProto.INT8} == {"w1_int8", "w2_int8"}
    found, expected = (run(p / "model.onnx", tokens(2)) for p in (tmp_path, source))
    assert 1e-4 < relative_error(found, expected) < 0.03


def test_a_graph_without_such_weights_is_refused(tmp_path: Path) -> None:
    source = folder(tmp_path / "m", convolutions())
    with pytest.raises(StepError, match="quantization of convolution weights found none"):
        QuantizeConvWeights(True, ("wide", "head")).run({"model": source}, tmp_path)
    old = convolutions()
    old.opset_import[0].version = 12
    with pytest.raises(StepError) as caught:
        QuantizeConvWeights(True, ()).run({"model": folder(tmp_path / "old", old)}, tmp_path)
    assert caught.value.why == "the graph has opset 12, and 13 is needed"
