"""Tensors of several graphs are stored once, around them, and the graphs compute what they did."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from olive_build.rewrites.shared_tensors import prefix_names, share_tensors

SIZE = 16


def square(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)


def part(name: str, weights: dict[str, np.ndarray]) -> onnx.GraphProto:
    """x times each weight in turn; x is of the graph around this one."""
    nodes, value = [], "x"
    for key in weights:
        nodes.append(helper.make_node("MatMul", [value, key], [f"by_{key}"], name=f"times_{key}"))
        value = f"by_{key}"
    graph = helper.make_graph(
        nodes,
        name,
        [],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, SIZE])],
        [numpy_helper.from_array(weight, key) for key, weight in weights.items()],
    )
    prefix_names(graph, f"{name}/", keep=("x",))
    return graph


def choice(parts: list[onnx.GraphProto], tensors: list[onnx.TensorProto]) -> onnx.ModelProto:
    node = helper.make_node("If", ["first"], ["y"], then_branch=parts[0], else_branch=parts[1])
    graph = helper.make_graph(
        [node],
        "choice",
        [
            helper.make_tensor_value_info("first", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, SIZE]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, SIZE])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(9).normal(size=(1, SIZE)).astype(np.float32)
    return [session.run(None, {"first": np.array(yes), "x": x})[0] for yes in (True, False)]


def two_parts() -> list[onnx.GraphProto]:
    """Both have square 0, by names of their own; the first has it twice; 1 and 2 are of one."""
    return [
        part("then", {"a": square(0), "b": square(1), "again": square(0)}),
        part("else", {"b": square(0), "a": square(2)}),
    ]


def test_equal_tensors_are_stored_once_and_the_results_stay() -> None:
    before = run(choice(two_parts(), []))
    parts = two_parts()
    tensors = share_tensors(parts)
    assert [tensor.name for tensor in tensors] == ["then/a"]
    np.testing.assert_array_equal(numpy_helper.to_array(tensors[0]), square(0))
    left = [[tensor.name for tensor in part.initializer] for part in parts]
    assert left == [["then/b"], ["else/a"]]
    for one, other in zip(run(choice(parts, tensors)), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tensor_that_one_part_has_twice_stays_there_once() -> None:
    parts = [part("then", {"a": square(1), "b": square(1)}), part("else", {"a": square(2)})]
    before = run(choice([part("then", {"a": square(1), "b": square(1)}), parts[1]], []))
    assert share_tensors(parts) == []
    assert [len(part.initializer) for part in parts] == [1, 1]
    for one, other in zip(run(choice(parts, [])), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_small_tensors_stay_where_they_are_read() -> None:
    parts = two_parts()
    for graph in parts:
        shape = numpy_helper.from_array(np.array([1, SIZE]), f"{graph.name}/shape")
        graph.initializer.append(shape)
    assert "then/shape" not in {tensor.name for tensor in share_tensors(parts)}
    assert [f"{part.name}/shape" in {t.name for t in part.initializer} for part in parts] == [
        True,
        True,
    ]


def test_equal_bytes_of_another_type_or_shape_are_other_tensors() -> None:
    one, other = part("then", {"a": square(0)}), part("else", {"a": square(3)})
    flat = numpy_helper.from_array(square(0).reshape(-1), "else/flat")
    whole = numpy_helper.from_array(square(0).view(np.int32), "else/whole")
    other.initializer.extend([flat, whole])
    assert share_tensors([one, other]) == []


def test_values_that_are_not_stored_as_bytes_are_compared_by_value() -> None:
    """Some tools store numbers one by one."""
    typed = onnx.TensorProto(name="else/b", dims=[SIZE, SIZE], data_type=TensorProto.FLOAT)
    typed.float_data.extend(square(0).reshape(-1).tolist())
    parts = two_parts()
    kept = [tensor for tensor in parts[1].initializer if tensor.name != "else/b"]
    del parts[1].initializer[:]
    parts[1].initializer.extend([typed, *kept])
    assert [tensor.name for tensor in share_tensors(parts)] == ["then/a"]


def test_subgraphs_read_the_shared_name_too() -> None:
    """A weight of a part may be read by a branch inside that part."""
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "else/b"], ["inner"])],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, SIZE])],
    )
    parts = two_parts()
    parts[1].node.append(
        helper.make_node("If", ["first"], ["z"], then_branch=inner, else_branch=inner)
    )
    share_tensors(parts)
    branches = [attribute.g for attribute in parts[1].node[-1].attribute]
    assert [branch.node[0].input[1] for branch in branches] == ["then/a", "then/a"]


def test_a_prefix_is_before_every_name_but_those_that_are_kept() -> None:
    graph = part("then", {"a": square(0)})
    assert [node.name for node in graph.node] == ["then/times_a"]
    assert list(graph.node[0].input) == ["x", "then/a"]
    assert [value.name for value in graph.output] == ["then/by_a"]


def test_what_a_part_reads_from_around_it_has_its_type_there() -> None:
    # onnxruntime 1.24 and earlier refuse a file without: "does not have type information".
    weight = np.arange(128, dtype=np.float32)
    parts = [
        helper.make_graph(
            [helper.make_node("Add", ["x", name], [f"{name}/y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}/y", TensorProto.FLOAT, [128])],
            [numpy_helper.from_array(weight, name)],
        )
        for name in ("one", "two")
    ]
    (stored,) = share_tensors(parts)
    for part in parts:
        (known,) = part.value_info
        assert known.name == stored.name
        assert known.type.tensor_type.elem_type == TensorProto.FLOAT
        assert [dim.dim_value for dim in known.type.tensor_type.shape.dim] == [128]
