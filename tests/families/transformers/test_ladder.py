"""Rungs are tried in processes of their own, and none is believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers
from transformers import PreTrainedTokenizerFast

from olive_build import rooms
from olive_build.errors import StepError
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.families.transformers import ladder, rungs, trace
from olive_build.families.transformers.library import Library
from olive_build.families.transformers.task import Task

MODULE = "olive_build.tasks.text_classification"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    write_miniature(made)
    return made


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    return Library(folder, task())


def task() -> Task:
    found: Task = rooms.look_up(MODULE).task
    return found


def test_axes_are_free_in_which_the_librarys_own_samples_differ(library: Library) -> None:
    settings = trace.settings_of(library, "all")
    assert [len(feeds["input_ids"]) for feeds in settings.feeds] == [3, 2, 1]
    assert len({feeds["input_ids"].shape[1] for feeds in settings.feeds}) == 3
    assert settings.axes["input_ids"] == {0: "batch_size", 1: "sequence_length"}
    assert trace.output_axes(library, settings) == {"logits": {0: "batch_size"}}
    batch = trace.settings_of(library, "batch")
    assert batch.axes["input_ids"] == {0: "batch_size"}
    assert len({feeds["input_ids"].shape[1] for feeds in batch.feeds}) == 1
    assert trace.settings_of(library, "none").axes["input_ids"] == {}


def test_short_samples_are_filled_up_as_the_tokenizer_does(library: Library) -> None:
    first = trace.settings_of(library, "all").feeds[0]
    padding = first["attention_mask"] == 0
    assert padding.any() and (first["input_ids"][padding] == library.tokenizer.pad_token_id).all()


def test_the_first_rung_that_is_right_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "ORDER", ("batch-only", "plain"))
    found = ladder.climb(folder, MODULE, 18, tmp_path)
    assert (found.rung, found.tried) == ("batch-only", ())
    assert found.axes["input_ids"] == ["batch_size"] and found.difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    shape = onnx.load(str(tmp_path / "model.onnx")).graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_param == "batch_size" and shape.dim[1].dim_value > 0


def test_a_rung_that_takes_too_long_is_ended_and_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError) as error:
        ladder.climb(folder, MODULE, 18, tmp_path, seconds=1)
    assert "plain: it took more than 1 s of processor time" in str(error.value.why)
    assert "fixed: " in str(error.value.why)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_is_wrong_at_another_size_is_not_taken(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = rungs._plain

    def wrong(*asked: object) -> None:
        plain(*asked)  # type: ignore[arg-type]
        path = tmp_path / "model.onnx"
        model = onnx.load(str(path))
        scale = onnx.numpy_helper.from_array(np.array(1.001, np.float32), "wrong_by")
        model.graph.initializer.append(scale)
        (last,) = (node for node in model.graph.node if "logits" in node.output)
        last.output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("Mul", ["before", "wrong_by"], ["logits"]))
        onnx.save(model, str(path))

    monkeypatch.setattr(rungs, "_plain", wrong)
    with pytest.raises(StepError, match=r"the exported graph's logits differs from PyTorch's by"):
        rungs.export(library, rungs.RUNGS["plain"], 18, tmp_path)


def test_outputs_without_spread_prove_nothing(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.fill_(1)
    model.save_pretrained(flat)
    PreTrainedTokenizerFast.from_pretrained(folder).save_pretrained(flat)
    with pytest.raises(StepError, match="the model's output logits proves nothing"):
        rungs.export(Library(flat, task()), rungs.RUNGS["plain"], 18, tmp_path)


def test_transformers_own_exporter_gives_the_same_names(library: Library, tmp_path: Path) -> None:
    found = rungs.export(library, rungs.RUNGS["transformers"], 18, tmp_path)
    assert found["difference"] < 1e-4
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    given = json.loads(json.dumps([value.name for value in graph.input]))
    assert set(given) <= {"input_ids", "attention_mask", "token_type_ids"}
    assert [value.name for value in graph.output] == ["logits"]
