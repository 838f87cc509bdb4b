"""The exported graph: its numbers, names and bytes, and what training.json says of it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch_stub_family import FAMILY, TwoLayers, register, train
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError
from olive_build.families import module_of
from olive_build.families.image_classification.miniature import write_miniature
from olive_build.rewrites.clean import SCOPES
from olive_build.training import torch_export
from olive_build.training.settings import Head, Lora, Loss, Train
from olive_build.training.steps.make import TrainingExport
from olive_build.training.torch_export import check
from olive_build.training.torch_model import build

ROOT = Path(__file__).resolve().parent.parent.parent
Shapes = tuple[tuple[str, int], ...]
SETTINGS = train(
    "top.*",
    head=Head("top", 2, ("no", "yes")),
    lora=Lora(("body",), 2, 4.0),
    rename=(("values", "x"), ("logits", "y")),
)


def exported(
    tmp_path: Path, settings: Train, family: str = FAMILY, shapes: Shapes = ()
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    data = json.dumps({"kind": "stub", **dict(shapes)})
    TrainingExport(family, 18, shapes, settings, data).run({"source": tmp_path}, out)
    described = json.loads((out / "training.json").read_text())
    return onnx.load(str(out / "model.onnx")), described


def test_the_graph_computes_what_pytorch_does_and_has_its_names_and_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    model, _ = exported(tmp_path, SETTINGS)
    side = build(tmp_path, FAMILY, SETTINGS)
    initializers = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    parameters = {name: value.detach().numpy() for name, value in side.model.named_parameters()}
    assert set(initializers) == set(parameters)
    assert all(np.array_equal(initializers[name], value) for name, value in parameters.items())
    values = np.random.default_rng(9).standard_normal((7, 6)).astype(np.float32)
    (found,) = open_session(tmp_path / "out" / "model.onnx").run(["y"], {"x": values})
    with torch.no_grad():
        expected = side.model(torch.from_numpy(values))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (model.ir_version, model.opset_import[0].version) == (10, 18)


def test_training_json_says_what_comes_in_and_what_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    _, free = exported(tmp_path, SETTINGS)
    axes = ["batch_size", 6]
    given = {"name": "x", "family_name": "values", "type": "float32", "axes": axes}
    assert free == {
        "inputs": [given],
        "target": {"name": "labels", "type": "int64", "axes": ["batch_size"]},
        "outputs": ["y"],
        "labels": ["no", "yes"],
        "trainable": [
            {"name": "body.lora_A", "shape": [2, 6]},
            {"name": "body.lora_B", "shape": [5, 2]},
            {"name": "top.weight", "shape": [2, 5]},
            {"name": "top.bias", "shape": [2]},
        ],
        "frozen": ["body.weight", "body.bias"],
        "patterns": {"top.*": 2},
        "data": {"kind": "stub"},
    }
    numbers = train("top.*", loss=Loss("mse"))
    _, fixed = exported(tmp_path, numbers, shapes=(("batch_size", 2),))
    assert fixed["inputs"][0]["axes"] == [2, 6]
    assert fixed["target"] == {"name": "target", "type": "float32", "axes": [2, 3]}
    assert fixed["labels"] == ["0", "1", "2"]
    assert fixed["data"] == {"kind": "stub", "batch_size": 2}


def test_a_fixed_batch_leaves_no_free_axis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Reshaped(TwoLayers):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = super().forward(values.reshape(len(values), 2, 3).flatten(1))
            return found

    register(monkeypatch, Reshaped)
    free, _ = exported(tmp_path, train("*"))
    assert "Shape" in {node.op_type for node in free.graph.node}
    fixed, _ = exported(tmp_path, train("*"), shapes=(("batch_size", 1),))
    assert "Shape" not in {node.op_type for node in fixed.graph.node}
    dims = [value.type.tensor_type.shape.dim for value in fixed.graph.input]
    assert [[dim.dim_value for dim in axes] for axes in dims] == [[1, 6]]


def test_nodes_say_which_layer_they_are_from_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    model, _ = exported(tmp_path, train("*"))
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    assert gemm.name == "body/Gemm"
    assert [item.key for item in gemm.metadata_props] == [SCOPES]
    assert ast.literal_eval(gemm.metadata_props[0].value) == ["", "body", "linear"]
    assert {item.key for node in model.graph.node for item in node.metadata_props} == {SCOPES}
    assert str(ROOT).encode() not in model.SerializeToString()


def speech(folder: Path) -> None:
    """Write a Wav2Vec2 of two narrow layers, with a weighted sum of layers as SUPERB's."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
        use_weighted_layer_sum=True,
        vocab_size=32,
    )
    Wav2Vec2ForSequenceClassification(config).save_pretrained(str(folder))
    prepared = {"sampling_rate": 16000, "feature_size": 1, "do_normalize": True}
    text = json.dumps({"feature_extractor_type": "Wav2Vec2FeatureExtractor", **prepared})
    (folder / "preprocessor_config.json").write_text(text)


@pytest.mark.parametrize(
    ("trained", "computes_norm"), [(("classifier.*",), False), (("wav2vec2.encoder.*",), True)]
)
def test_a_speech_model_computes_its_weight_norm_only_where_it_is_trained(
    tmp_path: Path, trained: tuple[str, ...], computes_norm: bool
) -> None:
    speech(tmp_path)
    settings = train(*trained, head=Head("classifier", 2, ("other", "owner")))
    shapes = (("batch_size", 1), ("samples", 8000))
    model, described = exported(
        tmp_path, settings, module_of("audio-classification", "training_side"), shapes
    )
    names = {item.name for item in model.graph.initializer}
    prefix = "wav2vec2.encoder.pos_conv_embed.conv"
    assert (f"{prefix}.weight" not in names) == computes_norm
    assert (f"{prefix}.parametrizations.weight.original0" in names) == computes_norm
    assert bool({"ReduceL2"} & {node.op_type for node in model.graph.node}) == computes_norm
    everything = [*(item["name"] for item in described["trainable"]), *described["frozen"]]
    assert sorted(everything) == sorted(names)
    assert described["inputs"][0]["axes"] == [1, 8000]


EXPORT = """
import sys
from pathlib import Path
from olive_build.training.steps.make import TrainingExport
sys.path.insert(0, sys.argv[1])
from torch_stub_family import train
family = "olive_build.families.image_classification.training_side"
step = TrainingExport(family, 18, (), train("*"), "{}")
step.run({"source": Path(sys.argv[2])}, Path(sys.argv[3]))
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_miniature(source)
    found = []
    for name, seed in (("first", "1"), ("second", "2")):
        out = tmp_path / name
        out.mkdir()
        command = [sys.executable, "-c", EXPORT, str(Path(__file__).parent), str(source), str(out)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=out, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append([(out / file).read_bytes() for file in ("model.onnx", "training.json")])
    assert found[0] == found[1]
    model = onnx.load_from_string(found[0][0])
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert str(tmp_path).encode() not in found[0][0]


def test_a_graph_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, TwoLayers)
    exported(tmp_path, train("*"))
    side = build(tmp_path, FAMILY, train("*"))
    with torch.no_grad():
        side.model.get_parameter("top.bias").add_(0.5)
    with pytest.raises(StepError, match=r"differs from PyTorch by 0\.5 at a batch of 1"):
        check(side, tmp_path / "out" / "model.onnx")


def test_what_a_head_of_zeros_hides_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    settings = train("*", head=Head("top", 2, ("no", "yes"), "zeros"))
    model, _ = exported(tmp_path, settings)
    side = build(tmp_path, FAMILY, settings)
    check(side, tmp_path / "out" / "model.onnx")
    assert not side.model.get_parameter("top.weight").any()
    hidden = next(item for item in model.graph.initializer if item.name == "body.weight")
    hidden.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(hidden) + 0.5, hidden.name))
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    with pytest.raises(StepError, match="the exported graph differs from PyTorch by"):
        check(side, tmp_path / "wrong.onnx")
    assert not side.model.get_parameter("top.weight").any()


def test_an_axis_that_the_model_fixes_cannot_be_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Fixed(TwoLayers):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = super().forward(values.view(3, 6))
            return found

    register(monkeypatch, Fixed)
    monkeypatch.setattr("olive_build.training.torch_model.FEW", 3)
    with pytest.raises(StepError) as caught:
        exported(tmp_path, train("*"))
    assert caught.value.what == "PyTorch cannot export the model for training"
    assert "inferred a static shape of 3 for dimension" in (caught.value.why or "")
    assert "fix the axes in the target's `shapes`" in (caught.value.hint or "")


def test_an_output_without_the_batch_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Mean(TwoLayers):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return super().forward(values).mean(0, keepdim=True)

    register(monkeypatch, Mean)
    with pytest.raises(StepError) as caught:
        exported(tmp_path, train("*"))
    assert caught.value.what == "the axes of 'logits' are [1, 3] in the exported graph"
    assert "['batch_size', 3] were asked for" in (caught.value.why or "")


@pytest.mark.parametrize(
    ("rename", "what"),
    [
        ((("value", "x"),), "the model has no input or output 'value' to rename"),
        ((("values", "labels"),), "the name 'labels' is taken"),
        ((("values", "top.bias"),), "the name 'top.bias' is taken"),
        ((("values", "x"), ("logits", "x")), "the name 'x' is taken"),
    ],
)
def test_names_that_cannot_be_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rename: tuple[tuple[str, str], ...],
    what: str,
) -> None:
    register(monkeypatch, TwoLayers)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train("*", rename=rename))
    assert (caught.value.what, caught.value.where) == (what, "train.rename")


def test_a_loss_of_an_output_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    with pytest.raises(StepError) as caught:
        build(tmp_path, FAMILY, train("*", loss=Loss("mse", output="embedding")))
    assert caught.value.what == "the loss is taken of 'embedding', which the model does not give"
    assert caught.value.why == "its output is 'logits'"


def test_a_model_beyond_one_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, TwoLayers)
    monkeypatch.setattr(torch_export.models, "EXTERNAL_DATA_BYTES", 100)
    with pytest.raises(StepError, match=r"the model has 0\.0 GB of weights"):
        exported(tmp_path, train("*"))


@pytest.mark.parametrize(("source", "result"), [("linear", "add"), ("linear_1", "linear")])
def test_an_inner_value_of_a_chosen_name_gives_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, result: str
) -> None:
    register(monkeypatch, TwoLayers)
    settings = train("*", rename=(("values", source), ("logits", result)))
    model, described = exported(tmp_path, settings)
    assert (described["inputs"][0]["name"], described["outputs"]) == (source, [result])
    assert [value.name for value in model.graph.input] == [source]
    side = build(tmp_path, FAMILY, settings)
    values = np.random.default_rng(9).standard_normal((7, 6)).astype(np.float32)
    (found,) = open_session(tmp_path / "out" / "model.onnx").run([result], {source: values})
    with torch.no_grad():
        expected = side.model(torch.from_numpy(values))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
