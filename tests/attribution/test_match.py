"""Which values of two graphs are the same quantity: by name, by numbers, never against order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from paired_graphs import (
    conv_net,
    disguised,
    dynamic_int8,
    half,
    images,
    model_of,
    perceptron,
    sequences,
    static_qdq,
)

from olive_build.attribution.match import matching_points
from olive_build.errors import UsageError


def pairs(one: onnx.ModelProto, other: onnx.ModelProto, feeds: list) -> dict[str, str]:
    return {point.variant: point.reference for point in matching_points(one, other, feeds)}


def test_a_graph_matches_itself_at_every_value() -> None:
    model = perceptron()
    found = pairs(model, model, sequences())
    assert found == {name: name for node in model.graph.node for name in node.output}


def test_names_that_the_quantizer_kept_are_points(tmp_path: Path) -> None:
    model = perceptron()
    found = matching_points(model, dynamic_int8(model, tmp_path), sequences())
    assert {point.reference for point in found} == {n for d in model.graph.node for n in d.output}
    assert all(point.by_name and point.reference == point.variant for point in found)
    assert all(point.cosine > 0.99 for point in found)


def test_without_any_name_the_numbers_find_the_same_points(tmp_path: Path) -> None:
    """Every residual stream, hidden value and activation of an int8 graph, all names random."""
    model = perceptron()
    variant = dynamic_int8(model, tmp_path)
    hidden = disguised(variant)
    names = dict(
        zip(
            (name for node in hidden.graph.node for name in node.output),
            (name for node in variant.graph.node for name in node.output),
            strict=True,
        )
    )
    found = pairs(model, hidden, sequences())
    right = [reference for name, reference in found.items() if names[name] == reference]
    assert len(right) == len(found)
    assert len(found) >= 15  # of 16


def test_a_disguised_qdq_graph_is_matched_at_its_convolutions(tmp_path: Path) -> None:
    model = conv_net()
    variant = disguised(static_qdq(model, images(seed=9), tmp_path))
    assert {"r0", "r1", "r2", "logits"} <= set(pairs(model, variant, images()).values())


def test_types_are_told_apart_and_halves_match_by_name() -> None:
    model = perceptron()
    types = {
        (point.reference_type, point.variant_type)
        for point in matching_points(model, half(model), sequences())
    }
    assert (TensorProto.FLOAT, TensorProto.FLOAT16) in types


def two_steps(first: str, second: str, names: tuple[str, str, str]) -> onnx.ModelProto:
    nodes = [
        helper.make_node(first, ["x", "half"], [names[0]]),
        helper.make_node(second, [names[0], "half"], [names[1]]),
        helper.make_node("Relu", [names[1]], [names[2]]),
        helper.make_node("MatMul", [names[2], "w"], ["y"]),
    ]
    weights = {"half": np.array(0.5, np.float32), "w": np.eye(32, dtype=np.float32)}
    return model_of(nodes, weights, ("x", ["b", "s", 32]), ("y", ["b", "s", 32]))


def test_of_values_that_differ_by_a_factor_the_equal_one_is_chosen() -> None:
    one = two_steps("Mul", "Mul", ("quarter", "eighth", "kept"))
    other = two_steps("Mul", "Mul", ("p", "q", "r"))
    found = pairs(one, other, sequences())
    assert found["p"] == "quarter"
    assert found["q"] == "eighth"


def test_equal_names_of_other_quantities_are_not_believed() -> None:
    """Two exporters number their values; the same number is another quantity."""
    model = perceptron()
    swapped = disguised(model)
    own = [name for node in swapped.graph.node for name in node.output]
    theirs = [name for node in model.graph.node for name in node.output][:-1]
    # Each value gets the name that the one before it has in the other graph.
    names = dict(zip(own[1:], theirs, strict=False))
    for node in swapped.graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = names.get(name, name) if name != "y" else name
    right = {own[i]: name for i, name in enumerate(theirs)}
    found = pairs(model, swapped, sequences())
    renamed = {names.get(name, name): reference for name, reference in right.items()}
    wrong = {name: ref for name, ref in found.items() if renamed.get(name, name) != ref}
    assert not wrong
    assert len(found) >= 12


def test_points_never_contradict_the_order_of_either_graph() -> None:
    """x -> 2x -> 2x (again) in one graph; equal values in the other way round in the other."""

    def chain(names: list[str]) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Identity", [given], [made])
            for given, made in zip(["x", *names], [*names, "y"], strict=True)
        ]
        return model_of(nodes, {}, ("x", ["b", "s", 32]), ("y", ["b", "s", 32]))

    found = matching_points(chain(["p", "q"]), chain(["q", "p"]), sequences())
    named = {(point.reference, point.variant) for point in found}
    assert not {("p", "p"), ("q", "q")} <= named
    assert ("y", "y") in named


def test_whole_numbers_match_only_when_they_are_equal() -> None:
    def with_offset(offset: int) -> onnx.ModelProto:
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "s"])
        made = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, "s", 4])
        table = np.arange(400, dtype=np.float32).reshape(100, 4)
        nodes = [
            helper.make_node("Add", ["ids", "offset"], ["moved"]),
            helper.make_node("Gather", ["table", "moved"], ["rows"]),
        ]
        weights = {"offset": np.array(offset), "table": table}
        graph = helper.make_graph(
            nodes, "g", [ids], [made], [numpy_helper.from_array(v, k) for k, v in weights.items()]
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    feeds = [{"ids": np.arange(20)[None]}]
    assert "moved" in pairs(with_offset(1), with_offset(1), feeds)
    assert "moved" not in pairs(with_offset(1), with_offset(2), feeds)


def test_graphs_that_take_nothing_in_common_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        matching_points(perceptron(), conv_net(), sequences())
    assert caught.value.render() == (
        "error: the two graphs have no input in common\n"
        "  because: one takes x, the other image\n"
        "  to fix:  compare two files of one model that take the same inputs"
    )


def test_no_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match="no inputs to compare"):
        matching_points(perceptron(), perceptron(), [])
