"""Nodes come after what they read, in subgraphs too, and a sound order is left alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, parser

from olive_build.rewrites.node_order import sort_nodes


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    return helper.make_model(
        helper.make_graph(list(nodes), "g", [x], [y]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def outputs(given: onnx.ModelProto) -> list[str]:
    return [node.output[0] for node in given.graph.node]


def test_a_cast_behind_its_reader_is_moved_and_the_numbers_stay() -> None:
    broken = model(
        helper.make_node("Neg", ["cast"], ["y"]), helper.make_node("Abs", ["x"], ["cast"])
    )
    assert sort_nodes(broken)
    assert outputs(broken) == ["cast", "y"]
    onnx.checker.check_model(broken)
    session = onnxruntime.InferenceSession(broken.SerializeToString())
    assert session.run(None, {"x": np.float32([-2, 3])})[0].tolist() == [-2, -3]


def test_a_sound_order_is_kept() -> None:
    sound = model(
        helper.make_node("Abs", ["x"], ["b"]),
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    )
    before = sound.SerializeToString()
    assert not sort_nodes(sound)
    assert sound.SerializeToString() == before


def test_what_only_a_subgraph_reads_comes_first() -> None:
    branch = parser.parse_graph("branch () => (float[n] out) { out = Neg(later) }")
    broken = model(
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("Abs", ["x"], ["later"]),
        helper.make_node("Constant", [], ["yes"], value_int=1),
        helper.make_node("Cast", ["one"], ["unused"], to=TensorProto.BOOL),
        helper.make_node("Constant", [], ["one"], value_int=1),
    )
    assert sort_nodes(broken)
    assert outputs(broken) == ["later", "yes", "y", "one", "unused"]


def test_a_circle_is_left_to_the_runtime() -> None:
    circle = model(helper.make_node("Abs", ["y"], ["a"]), helper.make_node("Neg", ["a"], ["y"]))
    assert not sort_nodes(circle)
