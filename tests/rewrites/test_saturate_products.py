"""A graph that saturates as the kernels of CPUs without VNNI do."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.saturate_products import pairs_at_risk, saturate_products


def integer_model(weights: np.ndarray, axes: int = 2) -> onnx.ModelProto:
    kind = TensorProto.INT8 if weights.dtype == np.int8 else TensorProto.UINT8
    zero = numpy_helper.from_array(np.array(0, weights.dtype), "b0")
    shape: list[int | str] = [*(f"n{i}" for i in range(axes - 1)), weights.shape[0]]
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b", "a0", "b0"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, shape),
            helper.make_tensor_value_info("a0", TensorProto.UINT8, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [*shape[:-1], "columns"])],
        [numpy_helper.from_array(weights, "b"), zero],
    )
    assert zero.data_type == kind
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def kernel(a: np.ndarray, b: np.ndarray, zero: int) -> np.ndarray:
    """vpmaddubsw, vpmaddwd with ones, vpaddd; the zero point by sums of columns, as in MLAS."""
    a, b = a.astype(np.int64), b.astype(np.int64)
    total = np.zeros((*a.shape[:-1], b.shape[1]), np.int64)
    for k in range(0, a.shape[-1] - 1, 2):
        pair = a[..., k, None] * b[k] + a[..., k + 1, None] * b[k + 1]
        total += np.clip(pair, -32768, 32767)
    if a.shape[-1] % 2:
        total += a[..., -1, None] * b[-1]
    return total - zero * b.sum(0)


@pytest.mark.parametrize("inner", [2, 3, 64, 65])
@pytest.mark.parametrize("axes", [2, 3])
def test_it_computes_what_the_kernel_does(inner: int, axes: int) -> None:
    random = np.random.default_rng(inner)
    weights = random.integers(-127, 128, (inner, 24)).astype(np.int8)
    weights[:, 3] //= 4  # a column that cannot saturate
    weights[:, :2] = 127  # and the first two that always do
    model = integer_model(weights, axes)
    a = random.integers(0, 256, (4,) * (axes - 1) + (inner,)).astype(np.uint8)
    feeds = {"a": a, "a0": np.array(113, np.uint8)}
    exact = run(model, feeds)
    assert (exact == a.astype(np.int64) @ weights.astype(np.int64) - 113 * weights.sum(0)).all()
    done = saturate_products(model)
    assert done.products == 1
    assert 0 < done.at_risk < done.pairs
    found = run(model, feeds)
    assert (found == kernel(a, weights, 113)).all()
    assert (found != exact).any()


@pytest.mark.parametrize(("weight", "expected"), [(-81, -32768), (-80, -32640)])
def test_the_border_is_that_of_a_report_from_a_cpu_without_vnni(weight: int, expected: int) -> None:
    """microsoft/onnxruntime issue 16105: 210 and 198 by -81 and -80 is wrong, by -80 it is not."""
    model = integer_model(np.array([[weight], [-80]], np.int8))
    saturate_products(model)
    feeds = {"a": np.array([[210, 198]], np.uint8), "a0": np.array(0, np.uint8)}
    assert run(model, feeds)[0, 0] == expected


def test_seven_bit_weights_are_not_at_risk() -> None:
    weights = np.random.default_rng(0).integers(-64, 65, (64, 32)).astype(np.int8)
    assert len(pairs_at_risk(weights)) == 0
    model = integer_model(weights)
    before = model.SerializeToString()
    assert saturate_products(model).at_risk == 0
    assert model.SerializeToString() == before


def test_uint8_weights_take_a_kernel_that_does_not_saturate() -> None:
    model = integer_model(np.full((4, 4), 255, np.uint8))
    done = saturate_products(model)
    assert (done.products, done.declined) == (0, ())


def qdq_model(operator: str, weights: np.ndarray) -> onnx.ModelProto:
    initializers = {
        "w": weights,
        "ws": np.linspace(0.01, 0.02, weights.shape[1]).astype(np.float32),
        "wz": np.zeros(weights.shape[1], np.int8),
        "s": np.array(0.02, np.float32),
        "z": np.array(100, np.uint8),
    }
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
            helper.make_node(operator, ["d", "wd"], ["y"], name="product"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "columns"])],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_dequantized_factors_are_followed() -> None:
    random = np.random.default_rng(1)
    weights = random.integers(-127, 128, (32, 8)).astype(np.int8)
    model = qdq_model("MatMul", weights)
    x = random.uniform(-2, 3, (3, 32)).astype(np.float32)
    quantized = np.clip(np.rint(x / np.float32(0.02)) + 100, 0, 255).astype(np.uint8)
    assert saturate_products(model).products == 1
    scales = np.linspace(0.01, 0.02, 8).astype(np.float32)
    expected = kernel(quantized, weights, 100) * np.float32(0.02) * scales
    np.testing.assert_allclose(run(model, {"x": x}), expected, rtol=1e-4, atol=1e-3)


def test_what_is_not_emulated_is_named() -> None:
    model = qdq_model("Gemm", np.full((4, 4), 127, np.int8))
    assert saturate_products(model).declined == ("product: a quantized Gemm is not emulated",)
