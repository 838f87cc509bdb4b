"""Static quantization: integer kernels on a convolution net, padding in BERT, and refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from small_graphs import (
    calibration,
    convolutions,
    folder,
    images,
    relative_error,
    run,
    tokens,
    two_products,
)

from olive_build.errors import StepError
from olive_build.methods.steps.static_int8 import QuantizeStaticInt8
from olive_build.methods.steps.tables import QuantizeEmbeddings

SETTINGS: dict[str, Any] = {
    "activations": "uint8",
    "weights": "int8",
    "per_channel": True,
    "calibration": "min-max",
    "percentile": 99.99,
    "operators": None,
    "exclude": (),
}


def quantize(model: Path, feeds: Path, out: Path, **changed: Any) -> Path:
    out.mkdir(exist_ok=True)
    step = QuantizeStaticInt8(**(SETTINGS | changed))
    step.run({"model": model, "calibration": feeds}, out)
    return out / "model.onnx"


@pytest.fixture
def net(tmp_path: Path) -> tuple[Path, Path]:
    made = folder(tmp_path / "net", convolutions())
    return made, calibration(tmp_path / "images", images(16))


def optimized(model: Path, out: Path) -> Counter[str]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(out).graph.node)


def test_the_runtime_fuses_a_convolution_net_into_integer_kernels(
    net: tuple[Path, Path], tmp_path: Path
) -> None:
    found = optimized(quantize(*net, tmp_path / "out"), tmp_path / "optimized.onnx")
    assert found["QLinearConv"] == 3
    assert found["QLinearAdd"] == 1
    assert found["QGemm"] == 1
    assert not found["Conv"] + found["Gemm"] + found["Add"] + found["Relu"]


@pytest.mark.parametrize(
    ("changed", "most"),
    [
        ({}, 0.03),
        ({"per_channel": False}, 0.04),
        ({"weights": "uint8"}, 0.03),
        ({"calibration": "percentile", "percentile": 99.9}, 0.05),
        ({"activations": "uint16"}, 0.01),
        ({"operators": ("Conv", "Gemm")}, 0.03),
    ],
    ids=str,
)
def test_the_outputs_stay_near(
    net: tuple[Path, Path], tmp_path: Path, changed: dict[str, Any], most: float
) -> None:
    other = images(16, seed=50)
    expected = run(net[0] / "model.onnx", other)
    written = quantize(*net, tmp_path / "out", **changed)
    assert 0 < relative_error(run(written, other), expected) < most
    assert written.stat().st_size < 0.45 * (net[0] / "model.onnx").stat().st_size


def test_biases_are_int32_and_16_bits_need_the_contrib_pairs(
    net: tuple[Path, Path], tmp_path: Path
) -> None:
    model = onnx.load(quantize(*net, tmp_path / "out", activations="uint16"))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type.endswith("quantizeLinear")]
    pairs += [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert {node.domain for node in pairs} == {"com.microsoft"}
    assert kinds["b1_quantized"] == onnx.TensorProto.INT32
    assert onnx.TensorProto.UINT16 in kinds.values()


def test_padding_stays_hidden_though_no_calibration_input_has_any(
    minilm: Path, sentences: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The mask's range over sentences without padding is [0, 0]; a clipped fill hides nothing."""
    embeddings = tmp_path / "embeddings"
    embeddings.mkdir()
    QuantizeEmbeddings(exclude=()).run({"model": minilm.parent}, embeddings)
    feeds = calibration(tmp_path / "sentences", sentences[:16])
    written = quantize(embeddings, feeds, tmp_path / "out", activations="uint16")
    alone = sentences[20]
    length = alone["input_ids"].shape[1]
    padded = {name: np.pad(value, ((0, 0), (0, 9))) for name, value in alone.items()}
    expected = run(minilm, [alone])
    assert relative_error(run(written, [alone]), expected) < 0.08
    assert relative_error(run(written, [padded])[:, :length], expected) < 0.08


def test_an_excluded_node_stays_and_may(net: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(quantize(*net, tmp_path / "out", exclude=("head",)))
    assert "g" in {tensor.name for tensor in model.graph.initializer}


def test_a_large_weight_that_was_passed_by_is_named(tmp_path: Path) -> None:
    made = two_products()
    # A weight that the quantizer does not see: it is computed from a stored one.
    made.graph.node.insert(0, helper.make_node("Identity", ["w2"], ["w2_same"], name="same"))
    made.graph.node[3].input[1] = "w2_same"
    model, feeds = folder(tmp_path / "m", made), calibration(tmp_path / "f", tokens(4))
    with pytest.raises(StepError) as caught:
        quantize(model, feeds, tmp_path / "out")
    assert "left 1 large weights in fp32" in caught.value.what
    assert "exclude: ['second']" in (caught.value.hint or "")


def test_an_infinite_range_is_named(tmp_path: Path) -> None:
    feeds = tokens(4)
    feeds[2]["x"][0, 0, 0] = np.inf
    model = folder(tmp_path / "m", two_products())
    with pytest.raises(StepError, match="is infinite, or as good as"):
        quantize(model, calibration(tmp_path / "f", feeds), tmp_path / "out")


def test_nothing_to_quantize_a_typo_and_an_old_opset_are_refused(
    net: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(StepError, match="found no node to quantize"):
        quantize(*net, tmp_path / "out", operators=("LSTM",))
    with pytest.raises(StepError, match="exclude pattern 'haed' matches no node"):
        quantize(*net, tmp_path / "out", exclude=("haed",))
    old = onnx.load(net[0] / "model.onnx")
    old.opset_import[0].version = 12
    with pytest.raises(StepError, match="needs opset 13 or later, and the graph has 12"):
        quantize(folder(tmp_path / "old", old), net[1], tmp_path / "out")
