"""Smoothing: outlier channels move into weights where that lowers the error of int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from olive_build.calibration.inputs import CALIBRATION, write_inputs
from olive_build.calibration.rounding import rounded_rows, rounded_weight
from olive_build.errors import StepError
from olive_build.methods.steps.smoothing import Smooth

WIDTH, OUTPUTS = 128, 160


def write_model(folder: Path, gain: np.ndarray, *, gelu: bool = False) -> Path:
    """Write LayerNormalization (with this gain), MatMul, residual; with an activation between."""
    random = np.random.default_rng(0)
    stored = {
        "g": gain.astype(np.float32),
        "b": np.zeros(WIDTH, np.float32),
        # As large in every channel: what a channel needs is then said by the activations alone.
        "w": random.choice([-1.0, 1.0], size=(WIDTH, OUTPUTS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g", "b"], ["n"], "norm"),
        *([helper.make_node("Gelu", ["n"], ["a"], domain="com.microsoft")] if gelu else []),
        helper.make_node("MatMul", ["a" if gelu else "n", "w"], ["y"], "product/MatMul"),
        helper.make_node("Identity", ["n"], ["residual"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "tokens", WIDTH])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", OUTPUTS]),
            helper.make_tensor_value_info("residual", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), folder / "model.onnx")
    return folder


def samples(count: int, seed: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    return [{"x": random.normal(size=(1, 9, WIDTH)).astype(np.float32)} for _ in range(count)]


def smoothed(
    tmp_path: Path,
    model: Path,
    activations: str = "per-tensor",
    inputs: list[dict[str, np.ndarray]] | None = None,
) -> Path:
    calibration, out = tmp_path / "calibration", tmp_path / "out"
    calibration.mkdir()
    out.mkdir()
    write_inputs(inputs or samples(16, seed=1), calibration / CALIBRATION)
    Smooth(activations).run({"model": model, "calibration": calibration}, out)
    return out


def run(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(["y"], feeds)[0]
    return output


def int8_error(
    tmp_path: Path, model: Path, expected: np.ndarray, feeds: dict[str, np.ndarray]
) -> float:
    quantize_dynamic(model, tmp_path / "int8.onnx", per_channel=True)
    return float(np.square(run(tmp_path / "int8.onnx", feeds) - expected).mean())


@pytest.mark.parametrize("activations", ["per-tensor", "per-token"])
def test_an_outlier_channel_no_longer_sets_the_range(tmp_path: Path, activations: str) -> None:
    gain = np.ones(WIDTH)
    gain[7] = 60.0
    model = write_model(tmp_path / "model", gain)
    out = smoothed(tmp_path, model, activations)
    (feeds,) = samples(1, seed=2)
    expected = run(model / "model.onnx", feeds)
    np.testing.assert_allclose(run(out / "model.onnx", feeds), expected, rtol=1e-4, atol=1e-3)
    before = int8_error(tmp_path, model / "model.onnx", expected, feeds)
    after = int8_error(tmp_path, out / "model.onnx", expected, feeds)
    assert after < before / 10


def test_channels_that_are_alike_are_left_alone(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", np.ones(WIDTH))
    # Half of the channels are 1, the others -1: none is larger than another.
    half = np.repeat(np.array([1, -1], np.float32), WIDTH // 2)
    random = np.random.default_rng(0)
    inputs = [{"x": random.permuted(np.tile(half, (1, 9, 1)), axis=2)} for _ in range(16)]
    with pytest.raises(StepError) as caught:
        smoothed(tmp_path, model, inputs=inputs)
    assert caught.value.what == "smoothing found no outliers to migrate"
    assert "smooth: false" in str(caught.value.hint)


def test_what_an_activation_function_makes_is_left_alone(tmp_path: Path) -> None:
    gain = np.ones(WIDTH)
    gain[7] = 60.0
    model = write_model(tmp_path / "model", gain, gelu=True)
    with pytest.raises(StepError, match="no outliers to migrate"):
        smoothed(tmp_path, model)


matrices = st.integers(0, 2**32 - 1).map(
    lambda seed: (
        np.random.default_rng(seed).normal(size=(6, 32)).astype(np.float32)
        * np.random.default_rng(seed + 1).uniform(0.01, 30, size=(6, 1)).astype(np.float32)
    )
)


@settings(deadline=None, max_examples=50)
@given(matrices)
def test_rounding_is_off_by_half_a_step_at_most(rows: np.ndarray) -> None:
    low, high = min(rows.min(), 0), max(rows.max(), 0)
    step = (high - low) / 255
    assert np.abs(rounded_rows(rows, "per-tensor") - rows).max() <= step * 0.51 + 1e-6
    columns = np.abs(rows).max(axis=0) / 127
    assert (np.abs(rounded_weight(rows) - rows) <= columns * 0.501 + 1e-6).all()
    blocks = np.abs(rows.reshape(6, 2, 16)).max(axis=2) / 127
    error = np.abs(rounded_rows(rows, "block", 16) - rows).reshape(6, 2, 16).max(axis=2)
    assert (error <= blocks * 0.501 + 1e-6).all()


@settings(deadline=None, max_examples=50)
@given(matrices)
def test_small_tokens_keep_more_with_their_own_scale(rows: np.ndarray) -> None:
    smallest = np.abs(rows).max(axis=1).argmin()
    one = np.square(rounded_rows(rows, "per-tensor")[smallest] - rows[smallest]).mean()
    other = np.square(rounded_rows(rows, "per-token")[smallest] - rows[smallest]).mean()
    assert other <= one * 1.5 + 1e-9
