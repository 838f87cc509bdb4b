"""Layers, grafting and damage, on numbers: what was spoiled is found, by name and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from paired_graphs import (
    changed_weight,
    conv_net,
    disguised,
    dynamic_int8,
    half,
    images,
    perceptron,
    sequences,
    static_qdq,
)

from olive_build.attribution.damage import (
    WORST,
    LayerDamage,
    attribute,
    cosine_loss,
)
from olive_build.attribution.graft import SWITCHES, graft, restore, switchable
from olive_build.attribution.layers import Layer, changed_layers, quantized_layers
from olive_build.attribution.match import matching_points
from olive_build.attribution.suggest import exclude_patterns, suggest
from olive_build.errors import UsageError


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)[0]


def layers_of(one: onnx.ModelProto, other: onnx.ModelProto, feeds: list) -> tuple[Layer, ...]:
    return quantized_layers(one, other, matching_points(one, other, feeds))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    model = perceptron()
    return model, dynamic_int8(model, tmp_path)


def test_each_quantized_product_is_a_layer_with_its_fp32_name_and_bytes(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    found = layers_of(*pair, sequences())
    assert [layer.name for layer in found] == [f"layer.{i}/MatMul" for i in range(4)]
    assert {(layer.operator, layer.precision) for layer in found} == {("MatMul", "int8")}
    assert {layer.reference_bytes for layer in found} == {32 * 32 * 4}
    assert {layer.variant_bytes for layer in found} == {32 * 32 + 32 * 4 + 32}


def test_a_graph_without_a_difference_has_no_layer() -> None:
    model = perceptron()
    points = matching_points(model, disguised(model), sequences())
    assert changed_layers(model, disguised(model), points) == ()
    with pytest.raises(UsageError, match="nothing is quantized in the second graph"):
        attribute(model, disguised(model), sequences())


def test_a_changed_weight_in_fp32_is_a_rewritten_layer() -> None:
    model = perceptron()
    other = changed_weight(model, "w2", lambda w: w * 1.05)
    points = matching_points(model, other, sequences())
    (layer,) = changed_layers(model, other, points)
    assert (layer.name, layer.precision) == ("layer.2/MatMul", "rewritten")
    assert quantized_layers(model, other, points) == ()


def test_grafting_all_layers_gives_the_variant_and_restoring_all_the_reference(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    layers = layers_of(*pair, sequences())
    for feed in sequences(3, seed=11):
        exact, low = (run(model, feed) for model in pair)
        np.testing.assert_array_equal(run(graft(*pair, layers), feed), low)
        np.testing.assert_array_equal(run(restore(*pair, layers), feed), exact)
        np.testing.assert_array_equal(run(graft(*pair, ()), feed), exact)
    onnx.checker.check_model(graft(*pair, layers[:2]))


def test_a_graft_and_the_restoring_of_the_rest_are_the_same_function(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    layers = layers_of(*pair, sequences())
    feed = sequences(1, seed=12)[0]
    one, other = graft(*pair, layers[1:2]), restore(*pair, [layers[0], *layers[2:]])
    np.testing.assert_array_equal(run(one, feed), run(other, feed))
    assert not np.array_equal(run(one, feed), run(pair[0], feed))


def test_a_switch_is_every_graft_at_once(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    layers = layers_of(*pair, sequences())
    both = switchable(*pair, layers)
    feed = sequences(1, seed=13)[0]
    for chosen in ([], [0], [1, 3], [0, 1, 2, 3]):
        switches = np.isin(np.arange(4), chosen)
        expected = run(graft(*pair, [layers[i] for i in chosen]), feed)
        np.testing.assert_array_equal(run(both, {**feed, SWITCHES: switches}), expected)


def test_halves_are_cast_at_the_cuts() -> None:
    model = perceptron()
    variant = half(model)
    layers = layers_of(model, variant, sequences())
    assert {layer.precision for layer in layers} == {"fp16"}
    feed = sequences(1)[0]
    halves = {"x": feed["x"].astype(np.float16)}
    exact, low = run(model, feed), run(variant, halves)
    assert run(graft(model, variant, layers), feed).dtype == np.float32
    assert run(restore(model, variant, layers), halves).dtype == np.float16
    for grafted in (graft(model, variant, layers[:3]), graft(model, variant, layers)):
        assert 0 < np.abs(run(grafted, feed) - exact).max() < 0.02
    restored = run(restore(model, variant, layers), halves).astype(np.float32)
    # Its input and output stay fp16.
    assert np.abs(restored - exact).max() < np.abs(low - exact).max() + 2e-3
    damages = attribute(model, variant, sequences()).layers
    assert all(40 < item.own_db < 100 for item in damages if "MatMul" in item.layer.name)


def test_graphs_of_two_opsets_are_brought_together(tmp_path: Path) -> None:
    reference = perceptron(opset=17)
    variant = dynamic_int8(perceptron(opset=18), tmp_path)
    (worst, *_) = attribute(reference, variant, sequences()).ranking
    assert worst.layer.name.endswith("/MatMul")


def by_name(damages: list[LayerDamage]) -> dict[str, LayerDamage]:
    return {item.layer.name: item for item in damages}


@pytest.mark.parametrize("hide", [False, True])
def test_a_product_whose_scale_is_off_by_two_is_ranked_first(
    pair: tuple[onnx.ModelProto, onnx.ModelProto], hide: bool
) -> None:
    model, variant = pair
    spoiled = changed_weight(variant, "w2_scale", lambda scale: scale * 2)
    if hide:
        spoiled = disguised(spoiled)
    result = attribute(model, spoiled, sequences())
    first, second = result.ranking[:2]
    assert first.layer.name == "layer.2/MatMul"
    assert first.damage > 20 * second.damage
    # Twice the signal: the noise is as large as the signal itself.
    assert first.own_db == pytest.approx(0, abs=0.2)
    assert second.own_db > 30
    assert sum(item.share for item in result.layers) == pytest.approx(1)
    accumulated = by_name(list(result.layers))
    assert accumulated["layer.1/MatMul"].accumulated_db > 25
    assert accumulated["layer.3/MatMul"].accumulated_db < 20


@pytest.mark.parametrize("hide", [False, True])
def test_a_spoiled_convolution_of_a_static_qdq_graph_is_ranked_first(
    tmp_path: Path, hide: bool
) -> None:
    model = conv_net()
    variant = static_qdq(model, images(seed=9), tmp_path)
    assert {"DequantizeLinear", "QuantizeLinear", "Conv"} <= {n.op_type for n in variant.graph.node}
    spoiled = changed_weight(variant, "k1_scale", lambda scale: scale * np.float32(0.5))
    if hide:
        spoiled = disguised(spoiled)
    result = attribute(model, spoiled, images())
    assert result.ranking[0].layer.name == "conv1"
    assert result.ranking[0].layer.operator == "Conv"
    assert {"conv0", "conv1", "conv2", "head"} <= set(by_name(list(result.layers)))


def test_the_damage_of_one_layer_is_that_of_its_graft(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    feeds = sequences(4)
    damages = attribute(*pair, feeds).layers
    grafted = graft(*pair, [damages[1].layer])
    losses = []
    for feed in feeds:
        exact, found = run(pair[0], feed).ravel(), run(grafted, feed).ravel()
        losses.append(1 - exact @ found / np.linalg.norm(exact) / np.linalg.norm(found))
    # 1 - cosine in fp32 has an error of about 1e-7.
    assert damages[1].damage == pytest.approx(np.mean(losses), abs=5e-7)
    assert damages[1].damage > 1e-6


def test_the_first_layers_own_noise_is_what_has_accumulated_there(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    first = attribute(*pair, sequences()).layers[0]
    assert first.own_db == pytest.approx(first.accumulated_db, abs=0.05)


def test_samples_are_taken_one_at_a_time(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    """No list of them is needed: a generator is read once, and its end is the end."""
    result = attribute(*pair, (feed for feed in sequences(10)))
    assert result.samples == 10


def test_another_measure_is_used(pair: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    damages = attribute(*pair, sequences(2), measure=lambda _a, _b, _feed: 0.25).layers
    assert {item.damage for item in damages} == {0.25}


def test_padding_counts_for_nothing_and_no_number_counts_as_worst() -> None:
    random = np.random.default_rng(0)
    exact = random.normal(size=(1, 6, 4))
    mask = np.array([[1, 1, 1, 1, 0, 0]])
    other = exact.copy()
    other[0, 4:] = 99
    assert cosine_loss({"y": exact}, {"y": other}, {"attention_mask": mask}) == 0
    assert cosine_loss({"y": exact}, {"y": other}, {}) > 0.1
    other[0, 0, 0] = np.nan
    assert cosine_loss({"y": exact}, {"y": other}, {"attention_mask": mask}) == WORST


def test_outputs_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    model = perceptron()
    variant = dynamic_int8(model, tmp_path)
    variant.graph.output[0].name = "h1"
    variant.graph.output.append(helper.make_tensor_value_info("h2", TensorProto.FLOAT, None))
    with pytest.raises(UsageError, match="different outputs"):
        attribute(model, variant, sequences())


def test_what_is_suggested_was_tried_and_excludes_what_was_spoiled(
    pair: tuple[onnx.ModelProto, onnx.ModelProto],
) -> None:
    model, variant = pair
    spoiled = changed_weight(variant, "w1_scale", lambda scale: scale * 2)
    feeds = sequences()
    result = attribute(model, spoiled, feeds)
    best = suggest(result.layers, model, spoiled, feeds)[0]
    assert best.exclude == ("layer.1/MatMul",)
    assert best.before == pytest.approx(result.whole, rel=1e-3)
    assert best.gain > 0.9
    assert best.added_bytes == 32 * 32 * 4 - (32 * 32 + 32 * 4 + 32)
    restored = restore(model, spoiled, best.layers)
    assert attribute(model, restored, feeds).whole == pytest.approx(best.after, rel=1e-3)


def layer_named(name: str) -> Layer:
    return Layer(name, "MatMul", "int8", (), (), (), (), 4, 1)


@pytest.mark.parametrize(
    ("chosen", "patterns"),
    [
        (["b.0.up/M", "b.1.up/M", "b.10.up/M"], ("b.*.up/M",)),
        (["b.0.up/M", "b.1.up/M"], ("b.[0-9].up/M",)),
        (["b.0.up/M"], ("b.0.up/M",)),
        (["b.0.up/M", "b.10.up/M"], ("b.0.up/M", "b.10.up/M")),
        (["b.0.down/M", "b.1.down/M"], ("b.[0-9].down/M",)),
        (["c[0]/M"], ("c[[]0]/M",)),
    ],
)
def test_patterns_match_the_chosen_nodes_and_no_other(
    chosen: list[str], patterns: tuple[str, ...]
) -> None:
    names = ["b.0.up/M", "b.1.up/M", "b.10.up/M", "b.0.down/M", "b.1.down/M"]
    names += ["b.0.self.down/M", "b.1.self.down/M", "c[0]/M", "c0/M"]
    layers = [layer_named(name) for name in names]
    picked = [layer for layer in layers if layer.name in chosen]
    assert exclude_patterns(picked, layers, names) == patterns


def test_a_table_of_int8_rows_is_a_layer(tmp_path: Path) -> None:
    table = np.random.default_rng(3).normal(size=(50, 16)).astype(np.float32)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "s"])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "s", 16])
    gather = helper.make_node("Gather", ["table", "ids"], ["rows"], "words")
    end = helper.make_node("Relu", ["rows"], ["y"], "relu")
    graph = helper.make_graph(
        [gather, end], "g", [ids], [made], [numpy_helper.from_array(table, "table")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    feeds = [{"ids": np.arange(20)[None] + start} for start in (0, 10, 30)]
    (only,) = attribute(model, dynamic_int8(model, tmp_path), feeds).layers
    assert (only.layer.name, only.layer.operator) == ("words", "Gather")
    assert only.layer.precision in ("int8", "uint8")
    assert only.share == 1
