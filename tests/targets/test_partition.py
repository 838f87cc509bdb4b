"""How many pieces a provider takes a graph in, on graphs small enough to count by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from olive_build.record.manifest import Partition
from olive_build.targets import provider_names
from olive_build.targets.partition import partition

SIZE = 4


def graph_of(
    *nodes: onnx.NodeProto, weights: dict[str, int], batch: int | str = 1
) -> onnx.ModelProto:
    """A graph from `x` [batch, 4] to `y`, with square weights scaled up in their rows."""
    random = np.random.default_rng(0)
    stored = [
        numpy_helper.from_array(random.normal(size=(SIZE, columns)).astype(np.float32), name)
        for name, columns in weights.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"{op}_{output}", **attributes)


def chain(middle: str, batch: int | str = 1) -> onnx.ModelProto:
    """MatMul, an operator, MatMul: three nodes in a row."""
    return graph_of(
        node("MatMul", "x w1", "a"),
        node(middle, "a", "b"),
        node("MatMul", "b w2", "y"),
        weights={"w1": SIZE, "w2": 3 * SIZE},
        batch=batch,
    )


def test_a_graph_that_is_taken_whole() -> None:
    found = partition(chain("Relu"), "qnn")
    assert found == Partition(
        text=found.text,
        provider="qnn",
        nodes=3,
        taken_nodes=3,
        partitions=1,
        node_share=1.0,
        weight_share=1.0,
        breaks=(),
        inside=(),
    )
    assert (
        found.text == "Qualcomm QNN takes the graph in 1 piece: 3 of 3 nodes, 100% of the weights"
    )


def test_an_operator_in_the_middle_makes_two_pieces() -> None:
    found = partition(chain("Selu"), "qnn")
    assert (found.partitions, found.taken_nodes, found.nodes) == (2, 2, 3)
    assert [(b.operator, b.count, b.nodes) for b in found.breaks] == [("Selu", 1, ("Selu_b",))]
    assert found.text.endswith(
        "in 2 pieces: 2 of 3 nodes, 100% of the weights; on the CPU: Selu x1"
    )


def test_a_branch_beside_an_unknown_operator_stays_in_one_piece() -> None:
    """x -> Relu -> Add, and x -> Selu -> Add: what waits for neither is in one piece."""
    model = graph_of(
        node("Selu", "x", "d"),
        node("MatMul", "x w1", "a"),
        node("Relu", "a", "b"),
        node("Add", "b d", "y"),
        weights={"w1": SIZE},
    )
    found = partition(model, "qnn")
    assert (found.partitions, found.taken_nodes) == (1, 3)


def test_weights_are_counted_where_they_are_read() -> None:
    """XNNPACK has no kernel for MatMulInteger: of 16 and 48 stored values it takes the 16."""
    model = graph_of(
        node("MatMul", "x w1", "a"),
        node("Einsum", "a", "b", equation="ij->ij"),
        node("Gemm", "b w2", "c"),
        node("ConvInteger", "c w3", "y"),
        weights={"w1": SIZE, "w2": SIZE, "w3": 2 * SIZE},
    )
    found = partition(model, "xnnpack")
    assert found.weight_share == 0.5
    assert [b.operator for b in found.breaks] == ["ConvInteger", "Einsum"]


def test_a_dequantizer_carries_the_weight_to_its_product() -> None:
    model = graph_of(
        node("DequantizeLinear", "w1 scale", "w"),
        node("MatMul", "x w", "y"),
        weights={"w1": SIZE, "scale": 1},
    )
    assert partition(model, "qnn").weight_share == 1.0
    assert partition(model, "coreml").weight_share == 1.0
    assert [b.operator for b in partition(model, "coreml").breaks] == ["DequantizeLinear"]


def test_a_graph_without_products_has_no_share_of_weights() -> None:
    found = partition(graph_of(node("Relu", "x", "y"), weights={}), "coreml")
    assert found.weight_share is None
    assert found.text == "Core ML takes the graph in 1 piece: 1 of 1 nodes"


def test_symbolic_axes_leave_nothing_to_providers_that_take_none() -> None:
    for provider, taken in (("qnn", 0), ("nnapi", 0), ("coreml", 3), ("xnnpack", 2)):
        assert partition(chain("Relu", batch="batch_size"), provider).taken_nodes == taken
    text = partition(chain("Relu", batch="batch_size"), "nnapi").text
    assert text == "NNAPI takes none of 3 nodes"


def test_pairs_of_16_bits_are_taken_where_the_inputs_are_fixed() -> None:
    def sixteen_bits(batch: int | str) -> onnx.ModelProto:
        model = graph_of(
            node("QuantizeLinear", "x scale zero", "q", domain="com.microsoft"),
            node("DequantizeLinear", "q scale zero", "d", domain="com.microsoft"),
            node("MatMul", "d w1", "y"),
            weights={"w1": SIZE},
            batch=batch,
        )
        values = {"scale": np.array(0.1, np.float32), "zero": np.array(9, np.uint16)}
        model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in values.items())
        return model

    assert partition(sixteen_bits(1), "qnn").taken_nodes == 3
    assert partition(sixteen_bits("batch_size"), "qnn").taken_nodes == 0


def test_constants_are_no_nodes() -> None:
    value = numpy_helper.from_array(np.ones(SIZE, np.float32))
    model = graph_of(
        helper.make_node("Constant", [], ["c"], value=value),
        node("Add", "x c", "y"),
        weights={},
    )
    assert (partition(model, "qnn").nodes, partition(model, "qnn").taken_nodes) == (1, 1)


def test_the_cpu_takes_everything_that_onnx_defines() -> None:
    assert partition(chain("Selu"), "cpu").node_share == 1.0


def test_the_order_of_nodes_does_not_matter_and_the_model_stays() -> None:
    """Quantizers append what they add, which onnxruntime forgives."""
    model = chain("Selu")
    backwards = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(backwards)
    assert partition(model, "qnn") == partition(chain("Selu"), "qnn")
    before = model.SerializeToString()
    names = [partition(model, provider).provider for provider in provider_names()]
    assert names == list(provider_names())
    assert model.SerializeToString() == before


def branches(inner: str, batch: int | str = 1) -> onnx.ModelProto:
    """MatMul w1, then a condition whose branches both multiply by w2, which lies around them."""

    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
        return helper.make_graph(list(nodes), name, [], [value])

    then = branch("then", node(inner, "a", "t1"), node("MatMul", "t1 w2", "t2"))
    otherwise = branch("else", node("MatMul", "a w2", "e1"))
    chosen = helper.make_node(
        "If", ["yes"], ["y"], name="choice", then_branch=then, else_branch=otherwise
    )
    model = graph_of(
        node("MatMul", "x w1", "a"), chosen, weights={"w1": SIZE, "w2": 3 * SIZE}, batch=batch
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return model


def test_graphs_inside_nodes_are_taken_apart_by_themselves() -> None:
    found = partition(branches("Selu"), "xnnpack")
    assert (found.nodes, found.taken_nodes, found.partitions) == (5, 3, 3)
    assert {b.operator: b.nodes for b in found.breaks} == {"If": ("choice",), "Selu": ("Selu_t1",)}
    by_name = {item.graph: item for item in found.inside}
    assert {item.operator for item in found.inside} == {"If"}
    assert (by_name["then_branch"].nodes, by_name["then_branch"].taken_nodes) == (2, 1)
    assert (by_name["else_branch"].nodes, by_name["else_branch"].taken_nodes) == (1, 1)
    assert found.text == (
        "XNNPACK takes the graph in 3 pieces: 3 of 5 nodes, 100% of the weights; "
        "inside If, which stays on the CPU itself: then_branch 1 of 2 nodes, 100% of the weights "
        "and else_branch 1 of 1 nodes, 100% of the weights; on the CPU: If x1, Selu x1"
    )


def test_a_weight_of_the_outer_graph_counts_where_inner_nodes_read_it() -> None:
    """Of 16 values outside and twice 48 inside, Core ML takes those outside alone."""
    found = partition(branches("Relu"), "coreml")
    assert [item.weight_share for item in found.inside] == [0.0, 0.0]
    assert found.weight_share == round(16 / (16 + 2 * 48), 4)
    assert "(its option EnableOnSubgraphs is off unless an app sets it)" in found.text
    assert "then_branch none of 2 nodes and else_branch none of 1 nodes" in found.text


def test_symbolic_axes_around_a_graph_are_those_inside_it() -> None:
    """The branches have no inputs of their own; what they read comes from outside."""
    assert partition(branches("Relu", batch="batch_size"), "qnn").taken_nodes == 0


def test_a_node_that_reads_only_inside_waits_for_what_it_reads() -> None:
    """The branches read `a`, so the node that holds them comes after it, whatever the order."""
    model = branches("Relu")
    backwards = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(backwards)
    assert partition(model, "xnnpack") == partition(branches("Relu"), "xnnpack")


def test_a_transposition_without_an_order_is_a_node_like_others() -> None:
    model = graph_of(node("Transpose", "x", "y"), weights={})
    assert partition(model, "coreml").taken_nodes == 1


def test_a_search_keeps_its_parts_apart() -> None:
    """What composing a Whisper makes: one operator with an encoder and a decoder inside."""

    def part(name: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info
        return helper.make_graph(
            [node("MatMul", f"{name}_x w1", f"{name}_y")],
            name,
            [value(f"{name}_x", TensorProto.FLOAT, ["batch_size", SIZE])],
            [value(f"{name}_y", TensorProto.FLOAT, None)],
        )

    search = helper.make_node(
        "WhisperBeamSearch",
        ["x"],
        ["y"],
        domain="com.microsoft",
        encoder=part("encoder"),
        decoder=part("decoder"),
    )
    found = partition(graph_of(search, weights={"w1": SIZE}), "xnnpack")
    assert found.text == (
        "XNNPACK takes the graph in 2 pieces: 2 of 3 nodes, 100% of the weights; inside "
        "WhisperBeamSearch, which stays on the CPU itself: encoder 1 of 1 nodes, 100% of the "
        "weights and decoder 1 of 1 nodes, 100% of the weights; on the CPU: WhisperBeamSearch x1"
    )
    assert partition(graph_of(search, weights={"w1": SIZE}), "nnapi").taken_nodes == 0
