"""Models of several files: written, read, copied and run as those of one file are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from olive_build.onnx_files import models
from olive_build.onnx_files.data_files import (
    copy_model,
    data_problem,
    files_of,
    remove_model,
)
from olive_build.untrusted import Unreadable

SIDE = 64


def weight(name: str, seed: int) -> TensorProto:
    values = np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32)
    return numpy_helper.from_array(values, name)


def product(branch: str, seed: int) -> onnx.GraphProto:
    node = helper.make_node("MatMul", ["x", f"w_{branch}"], [f"y_{branch}"], name=branch)
    out = helper.make_tensor_value_info(f"y_{branch}", TensorProto.FLOAT, None)
    return helper.make_graph([node], branch, [], [out], [weight(f"w_{branch}", seed)])


def branching() -> onnx.ModelProto:
    """x [rows, 64] -> a product by one of two weights, which lie in branches, and one outside."""
    choice = helper.make_node(
        "If",
        ["flag"],
        ["h"],
        name="choice",
        then_branch=product("a", 1),
        else_branch=product("b", 2),
    )
    last = helper.make_node("MatMul", ["h", "w"], ["y"], name="last")
    typed = weight("typed", 4)
    values = numpy_helper.to_array(typed).ravel()
    typed = helper.make_tensor("typed", TensorProto.FLOAT, [SIDE, SIDE], values)  # not raw
    added = helper.make_node("Add", ["y", "typed"], ["z"], name="added")
    graph = helper.make_graph(
        [choice, last, added],
        "branching",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [SIDE, SIDE]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [weight("w", 3), typed, numpy_helper.from_array(np.array([1, 2]), "small")],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def answers(source: bytes | str) -> np.ndarray:
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    return np.stack([session.run(None, {"x": x, "flag": np.array(f)})[0] for f in (True, False)])


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "EXTERNAL_DATA_BYTES", 4096)
    monkeypatch.setattr(models, "LARGEST_DATA_FILE", 40_000)


def test_below_the_limit_a_model_is_the_bytes_that_onnx_writes(tmp_path: Path) -> None:
    model = branching()
    models.write(model, tmp_path / "ours.onnx")
    onnx.save(model, tmp_path / "theirs.onnx")
    assert (tmp_path / "ours.onnx").read_bytes() == (tmp_path / "theirs.onnx").read_bytes()
    assert files_of(tmp_path / "ours.onnx") == [tmp_path / "ours.onnx"]


@pytest.mark.usefixtures("small_limit")
def test_weights_beside_the_graph_are_read_back_and_run(tmp_path: Path) -> None:
    model = branching()
    before = model.SerializeToString()
    path = tmp_path / "model.onnx"
    models.write(model, path)
    assert model.SerializeToString() == before, "what is written must stay as it is"
    names = [file.name for file in files_of(path)]
    assert names == ["model.onnx", "model.onnx_data", "model.onnx_data_1"]
    assert all(file.stat().st_size <= 40_000 for file in files_of(path))
    assert path.stat().st_size < 2_000 and not data_problem(path)
    assert answers(str(path)).tobytes() == answers(before).tobytes()
    read = models.read(path)
    assert answers(read.SerializeToString()).tobytes() == answers(before).tobytes()
    assert onnx.load(path).graph.initializer[0] == read.graph.initializer[0]
    assert models.stored_bytes(models.read(path, weights=False)) == models.stored_bytes(model)
    again = tmp_path / "again" / "model.onnx"
    again.parent.mkdir()
    models.write(read, again)
    for one, other in zip(files_of(path), files_of(again), strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("small_limit")
def test_what_an_earlier_model_left_beside_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    models.write(branching(), path)
    (tmp_path / "copy").mkdir()
    copied = copy_model(path, tmp_path / "copy")
    assert len(files_of(copied)) == 3
    monkeypatch.setattr(models, "EXTERNAL_DATA_BYTES", 10**9)
    models.write(models.read(path), path)
    assert [file.name for file in tmp_path.glob("*.onnx*")] == ["model.onnx"]
    remove_model(copied)
    assert not list(copied.parent.iterdir())


@pytest.mark.usefixtures("small_limit")
def test_a_session_of_a_large_model_in_memory() -> None:
    model = branching()
    with models.openable(model) as given:
        assert isinstance(given, str)
        session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    assert not Path(given).exists()
    x = np.eye(SIDE, dtype=np.float32)
    found = session.run(None, {"x": x, "flag": np.array(True)})[0]
    assert np.isfinite(found).all()


@pytest.mark.usefixtures("small_limit")
def test_shapes_are_inferred_without_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = branching(), []

    def infer(graph: onnx.ModelProto) -> onnx.ModelProto:
        given.append(graph.ByteSize())
        return onnx.shape_inference.infer_shapes(graph, data_prop=True)

    found = models.by_graph_alone(model, infer)
    monkeypatch.setattr(models, "EXTERNAL_DATA_BYTES", 10**9)
    assert found == models.by_graph_alone(model, infer)
    assert given[0] < 2_000 < given[1]


@pytest.mark.usefixtures("small_limit")
def test_a_graph_under_another_name_names_its_weights_anew(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    models.write(branching(), path)
    expected = answers(str(path))
    other = tmp_path / "client" / "decoder_q8.onnx"
    other.parent.mkdir()
    other.write_bytes(models.renamed(path, other.name))
    for file in files_of(path)[1:]:
        file.rename(other.parent / file.name.replace("model.onnx", other.name))
    assert answers(str(other)).tobytes() == expected.tobytes()


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("location", "../model.onnx_data"),
        ("location", "/etc/passwd"),
        ("location", "."),
        ("location", ""),
        ("location", "missing"),
        ("location", "link"),
        ("location", "pipe"),
        ("offset", "-4096"),
        ("offset", "1000000000000"),
        ("length", "1000000000000"),
        ("length", "-1"),
    ],
)
def test_weights_elsewhere_are_never_read(tmp_path: Path, key: str, value: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.onnx"
    models.write(branching(), path)
    (tmp_path / "model.onnx_data").write_bytes(b"\1" * 100_000)
    (folder / "link").symlink_to(tmp_path / "model.onnx_data")
    os.mkfifo(folder / "pipe")
    model = models.read(path, weights=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(model.SerializeToString())
    assert "'w'" in (data_problem(path) or "")
    with pytest.raises((Unreadable, FileNotFoundError)):
        models.read(path)
