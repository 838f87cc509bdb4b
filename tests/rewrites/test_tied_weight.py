"""One table for lookup and product: the numbers stay, and what is no such product is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.rewrites.tied_weight import share_tied_weight
from olive_build.steps.fuse import ShareTiedWeight

WORDS, SIZE = 37, 8


def language_model(
    perm: list[int] | None = None, lookup: bool = True, product: str = "MatMul"
) -> onnx.ModelProto:
    """ids [batch, sequence] -> rows of the table -> scores of all words, as exporters write it."""
    random = np.random.default_rng(0)
    stored = {"table": random.normal(size=(WORDS, SIZE)).astype(np.float32)}
    if not lookup:
        stored["other"] = random.normal(size=(WORDS, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table" if lookup else "other", "ids"], ["x"], name="embed"),
        helper.make_node("Transpose", ["table"], ["turned"], name="turn", perm=perm or [1, 0]),
        helper.make_node(product, ["x", "turned"], ["scores"], name="proj_out"),
    ]
    graph = helper.make_graph(
        nodes,
        "language",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "sequence", WORDS])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, ids: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"ids": ids})[0]


def test_the_product_reads_the_table_as_it_lies_and_the_numbers_stay() -> None:
    model = language_model()
    before = onnx.ModelProto.FromString(model.SerializeToString())
    assert share_tied_weight(model).count == 1
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert "Transpose" not in kinds and "MatMul" not in kinds
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    assert (gemm.name, gemm.input[1]) == ("proj_out", "table")
    large = [tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2]
    assert large == ["table"]
    for batch, sequence in ((1, 1), (3, 5)):
        ids = np.random.default_rng(1).integers(0, WORDS, (batch, sequence))
        found = run(model, ids)
        assert found.shape == (batch, sequence, WORDS)
        np.testing.assert_allclose(found, run(before, ids), atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        language_model(perm=[0, 1], product="Add"),
        language_model(lookup=False),
        language_model(product="Gemm"),
    ],
    ids=["not turned", "another table is looked up", "no MatMul"],
)
def test_what_is_no_such_product_is_left_alone(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert share_tied_weight(model).count == 0
    assert model.SerializeToString() == before


def test_the_step_refuses_a_graph_without_such_a_product(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    path = tmp_path / "in" / "model.onnx"
    onnx.save(language_model(), str(path))
    ShareTiedWeight().run({"model": path.parent}, tmp_path / "out")
    written = onnx.load(str(tmp_path / "out" / "model.onnx"))
    assert "Gemm" in {node.op_type for node in written.graph.node}
    onnx.save(language_model(lookup=False), str(path))
    with pytest.raises(StepError) as caught:
        ShareTiedWeight().run({"model": path.parent}, tmp_path / "out")
    assert caught.value.why and caught.value.hint
