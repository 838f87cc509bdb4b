"""A table for lookup and product becomes one table of blocks that both read; others stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.errors import StepError
from olive_build.methods.algorithms.stored_weights import stored_weights
from olive_build.methods.algorithms.tied_blocks import (
    Blocks,
    quantize_tied_tables,
    rows_as_blocks,
)
from olive_build.methods.steps.tables import QuantizeTiedTables

WORDS, SIZE, BLOCK = 359, 96, 32  # an odd number of rows, and of blocks in each
TABLE = np.random.default_rng(0).normal(0, 0.1, (WORDS, SIZE)).astype(np.float32)
TABLE[3] = 0
TABLE[4] = np.abs(TABLE[4])
TABLE[5, 7] = 4.0
FORMS = [Blocks(bits, BLOCK, symmetric) for bits in (4, 8) for symmetric in (False, True)]


def tied(table: np.ndarray[Any, Any] = TABLE, **attributes: Any) -> onnx.ModelProto:
    """ids [tokens] -> rows, and scores [tokens, words] of the rows by the same table."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"], name="embed"),
        helper.make_node(
            "Gemm", ["x", "table"], ["scores"], name="head", **{"transB": 1, **attributes}
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", table.shape[1]]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(table, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def restored(table: np.ndarray[Any, Any], blocks: Blocks) -> np.ndarray[Any, Any]:
    integers, scale, zero = rows_as_blocks(table, blocks)
    middle = 1 << (blocks.bits - 1)
    zeros = np.full(scale.shape, middle, np.uint8) if zero is None else zero
    values = (integers.astype(np.float32) - zeros[..., None]) * scale[..., None]
    return np.asarray(values.reshape(table.shape))


@pytest.mark.parametrize("blocks", FORMS, ids=str)
def test_rows_lose_at_most_half_a_step(blocks: Blocks) -> None:
    parts = TABLE.reshape(WORDS, -1, BLOCK)
    reach = np.maximum(parts.max(-1), 0) - np.minimum(parts.min(-1), 0)
    steps = 2 * np.abs(parts).max(-1) if blocks.symmetric else reach
    # The largest magnitude of a symmetric block has no counterpart on the other side.
    allowed = (1.01 if blocks.symmetric else 0.51) * steps / ((1 << blocks.bits) - 1)
    error = np.abs(restored(TABLE, blocks) - TABLE).reshape(parts.shape).max(-1)
    assert (error <= allowed + 1e-6).all()
    assert not restored(TABLE, blocks)[3].any(), "zeros stay zeros"


@pytest.mark.parametrize("accuracy_level", [0, 4])
@pytest.mark.parametrize("blocks", FORMS, ids=str)
def test_lookup_and_product_read_one_table(blocks: Blocks, accuracy_level: int) -> None:
    model = tied()
    assert quantize_tied_tables(model, blocks, accuracy_level, set()).count == 2
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert "table" not in stored
    whole = sum(len(tensor.raw_data) for tensor in stored.values())
    per_block = 4 if blocks.symmetric else 4 + 1
    assert whole <= WORDS * SIZE * blocks.bits / 8 + WORDS * SIZE / BLOCK * per_block + 100
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ids = np.array([0, 3, 4, 5, WORDS - 1])
    rows, scores = session.run(None, {"ids": ids})
    wanted = restored(TABLE, blocks)
    np.testing.assert_array_equal(rows, wanted[ids])
    # With accuracy level 4 what is multiplied is rounded to 8 bits too.
    bound = 0.1 if accuracy_level == 4 else 1e-4
    np.testing.assert_allclose(scores, wanted[ids] @ wanted.T, atol=bound)


def test_nodes_keep_their_names_and_level() -> None:
    model = tied()
    quantize_tied_tables(model, FORMS[0], 4, set())
    nodes = {node.name: node for node in model.graph.node}
    assert nodes["embed"].op_type == "GatherBlockQuantized"
    assert nodes["head"].op_type == "MatMulNBits"
    level = next(a.i for a in nodes["head"].attribute if a.name == "accuracy_level")
    assert level == 4


def test_what_is_no_tied_table_stays() -> None:
    odd = tied(TABLE[:, : SIZE - 1])
    result = quantize_tied_tables(odd, FORMS[0], 0, set())
    assert result.count == 0 and result.declined == (
        "table: its rows are no whole number of blocks of 32",
    )
    scaled, excluded = tied(alpha=0.5), tied()
    assert quantize_tied_tables(scaled, FORMS[0], 0, set()).count == 0
    assert quantize_tied_tables(excluded, FORMS[0], 0, {"head"}).count == 0
    alone = tied()
    del alone.graph.node[1], alone.graph.output[1]
    assert quantize_tied_tables(alone, FORMS[0], 0, set()).count == 0


def test_its_integers_are_not_chosen_again_for_the_product_alone() -> None:
    model = tied()
    quantize_tied_tables(model, FORMS[0], 0, set())
    found, declined = stored_weights(model)
    assert not found and declined == {"head": "its blocks are looked up as a table too"}


def test_the_step_says_why_it_found_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    onnx.save(tied(TABLE[:, : SIZE - 1]), str(source / "model.onnx"))
    step = QuantizeTiedTables(4, BLOCK, symmetric=False, accuracy_level=0, exclude=())
    with pytest.raises(StepError, match="no table for both lookup and product") as caught:
        step.run({"model": source}, out)
    assert "whole number of blocks" in str(caught.value.why)
    assert "block size that divides" in str(caught.value.hint)
