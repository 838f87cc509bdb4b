"""Inputs from files and made-up ones; each kind of bad file with its message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from paired_graphs import perceptron

from olive_build.attribution.inputs import generated_feeds, load_graph, read_feeds
from olive_build.errors import UsageError


def encoder() -> onnx.ModelProto:
    """Return a graph with the inputs of a text encoder and a table of 37 words."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    given = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in names
    ]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", 8])
    tables = {"words": np.ones((37, 8), np.float32), "kinds": np.ones((2, 8), np.float32)}
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids32"], to=TensorProto.INT32),
        helper.make_node("Gather", ["words", "ids32"], ["a"]),
        helper.make_node("Gather", ["kinds", "token_type_ids"], ["b"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Mul", ["sum", "wide"], ["y"]),
    ]
    weights = {**tables, "last": np.array([2])}
    graph = helper.make_graph(
        nodes, "g", given, [made], [numpy_helper.from_array(v, k) for k, v in weights.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_made_up_inputs_fit_the_graph_and_are_the_same_for_a_seed() -> None:
    feeds = generated_feeds(encoder(), 20, seed=4)
    again = generated_feeds(encoder(), 20, seed=4)
    for feed, other in zip(feeds, again, strict=True):
        assert len({value.shape for value in feed.values()}) == 1
        assert feed["input_ids"].dtype == np.int64
        assert feed["input_ids"].max() < 37
        assert (feed["attention_mask"] == 1).all()
        assert not feed["token_type_ids"].any()
        assert all((feed[name] == other[name]).all() for name in feed)
    assert len({feed["input_ids"].shape for feed in feeds}) > 5
    assert max(feed["input_ids"].max() for feed in feeds) > 30


def test_made_up_floats_keep_fixed_sizes() -> None:
    (feed,) = generated_feeds(perceptron(), 1)
    assert feed["x"].shape[0] == 1
    assert feed["x"].shape[2] == 32
    assert feed["x"].dtype == np.float32


@pytest.mark.parametrize("numbered", [False, True])
def test_inputs_are_read_stacked_or_one_by_one(tmp_path: Path, numbered: bool) -> None:
    rows = np.arange(3 * 4 * 32, dtype=np.float64).reshape(3, 4, 32)
    path = tmp_path / "inputs.npz"
    if numbered:
        np.savez(path, **{f"{i:05d}/x": rows[i : i + 1] for i in range(3)})
    else:
        np.savez(path, x=rows)
    feeds = read_feeds(path, perceptron())
    assert [feed["x"].shape for feed in feeds] == [(1, 4, 32)] * 3
    assert feeds[0]["x"].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([feed["x"] for feed in feeds]), rows)


def test_inputs_of_unlike_number_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, x=np.zeros((3, 4, 32)), z=np.zeros((2, 4)))
    with pytest.raises(UsageError) as caught:
        read_feeds(path, perceptron())
    assert caught.value.render() == (
        "error: the inputs in inputs.npz do not belong together\n"
        f"  at:      {path}\n"
        "  because: samples by input: x 3, z 2\n"
        "  to fix:  stack as many samples of every input along its first axis"
    )


def test_inputs_without_what_the_model_takes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, input_ids=np.zeros((3, 4), np.int64))
    with pytest.raises(UsageError) as caught:
        read_feeds(path, encoder())
    assert caught.value.what == "inputs.npz has no 'attention_mask'"
    assert "the file holds input_ids" in (caught.value.why or "")


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "inputs.npz"
    if content is None:
        np.save(path.with_suffix(".npy"), np.zeros(3))
        path = path.with_suffix(".npy")
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        read_feeds(path, perceptron())


def test_files_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x00\x01 no model")
    empty = tmp_path / "empty.onnx"
    empty.touch()
    ort = tmp_path / "model.ort"
    ort.touch()
    for path, message in (
        (damaged, "damaged.onnx is no ONNX model"),
        (empty, "empty.onnx is no ONNX model"),
        (ort, "model.ort cannot be taken apart"),
        (tmp_path / "none.onnx", f"there is no file {tmp_path / 'none.onnx'}"),
    ):
        with pytest.raises(UsageError) as caught:
            load_graph(path)
        assert caught.value.what == message
