"""PrepareTraining makes a graph that the toolchain trains, or says why not, and for which layer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from olive_build.errors import StepError
from olive_build.training.steps.prepare import PrepareTraining

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "rewrites"))
from toolchain_gradients import Trial, outcomes


class Named(nn.Module):
    """Gives the wrapped model's parameters the names that they have without a wrapper."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.model(x)
        return getattr(out, "logits", out)


def write(
    model: nn.Module, x: torch.Tensor, trainable: Callable[[str], bool], folder: Path
) -> list[str]:
    """Write model.onnx and training.json as training-export does; return what is trainable."""
    folder.mkdir(exist_ok=True)
    torch.onnx.export(
        Named(model).eval(),
        (x,),
        None,
        input_names=["x"],
        output_names=["output"],
        opset_version=18,
        dynamo=True,
        optimize=False,
        dynamic_shapes=({0: torch.export.Dim("batch_size")},),
        verbose=False,
    ).save(str(folder / "model.onnx"), external_data=False)
    graph = onnx.load(str(folder / "model.onnx"))
    shorter = {t.name: t.name.removeprefix("model.") for t in graph.graph.initializer}
    for tensor in graph.graph.initializer:
        tensor.name = shorter[tensor.name]
    for node in graph.graph.node:
        node.input[:] = [shorter.get(name, name) for name in node.input]
    onnx.save(graph, str(folder / "model.onnx"))
    parameters = dict(model.named_parameters())
    names = [name for name in parameters if trainable(name)]
    described = {
        "inputs": [{"name": "x", "type": "float32", "axes": ["batch_size", *x.shape[1:]]}],
        "trainable": [{"name": n, "shape": list(parameters[n].shape)} for n in names],
        "frozen": [n for n in parameters if n not in names],
    }
    (folder / "training.json").write_text(json.dumps(described))
    return names


def prepare(folder: Path, out: Path) -> tuple[onnx.ModelProto, dict[str, dict[str, object]]]:
    out.mkdir()
    PrepareTraining().run({"model": folder}, out)
    return onnx.load(str(out / "model.onnx")), json.loads((out / "rewrites.json").read_text())


def wav2vec2() -> nn.Module:
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    none = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")
    config = Wav2Vec2Config(
        **dict.fromkeys((*none, "final_dropout", "layerdrop", "mask_time_prob"), 0.0),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
        vocab_size=32,
        num_labels=2,
        apply_spec_augment=False,
        use_weighted_layer_sum=True,
        attn_implementation="eager",
    )
    return Wav2Vec2ForSequenceClassification(config).eval()


def test_a_wav2vec2_is_trained_above_its_feature_extractor_as_in_pytorch(
    training_python: Path, tmp_path: Path
) -> None:
    model, x, labels = wav2vec2(), torch.randn(3, 8000), torch.tensor([0, 1, 1])
    names = write(
        model, x, lambda n: "feature_extractor" not in n and "masked" not in n, tmp_path / "in"
    )
    prepared, report = prepare(tmp_path / "in", tmp_path / "out")
    counts = {rule: done["count"] for rule, done in report.items() if done["count"]}
    assert counts["lift-grouped-convolution"] == 1
    assert counts["three-output-layer-norm"] == 6
    assert counts["cast-like"] > 0
    assert not any(node.metadata_props or node.doc_string for node in prepared.graph.node)
    described = (tmp_path / "in" / "training.json").read_bytes()
    assert (tmp_path / "out" / "training.json").read_bytes() == described

    loss = functional.cross_entropy(model(x).logits, labels)
    loss.backward()
    gradients = {n: p.grad.numpy() for n, p in model.named_parameters() if n in names}
    feeds = {"x": x.numpy(), "labels": labels.numpy()}
    trial = Trial(prepared, feeds, gradients, float(loss.detach()), "CrossEntropyLoss")
    outcome = outcomes(training_python, {"all": trial}, tmp_path / "toolchain")["all"]
    assert outcome.right, outcome


def test_the_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    write(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4), lambda _: True, tmp_path / "in")
    for out in ("a", "b"):
        prepare(tmp_path / "in", tmp_path / out)
    for name in ("model.onnx", "rewrites.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


class Convolutions(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.features = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "norm": norm})
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.features.values():
            x = layer(x)
        return self.head(x.mean((2, 3)))


def refused(
    model: nn.Module, tmp_path: Path, trainable: Callable[[str], bool] = lambda _: True
) -> str:
    write(model.eval(), torch.randn(2, 3, 8, 8), trainable, tmp_path / "in")
    with pytest.raises(StepError) as raised:
        prepare(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    return raised.value.render()


def test_a_layer_without_a_gradient_is_named_with_what_to_freeze(tmp_path: Path) -> None:
    text = refused(Convolutions(nn.GroupNorm(2, 4)), tmp_path)
    assert "no gradient gets through `features.norm` (InstanceNormalization)" in text
    assert "frozen: ['features.conv.*']" in text


def test_it_is_let_be_once_that_is_frozen(tmp_path: Path) -> None:
    model = Convolutions(nn.GroupNorm(2, 4))
    x = torch.randn(2, 3, 8, 8)
    write(model, x, lambda n: "conv" not in n, tmp_path / "in")
    prepared, _ = prepare(tmp_path / "in", tmp_path / "out")
    assert "InstanceNormalization" in {node.op_type for node in prepared.graph.node}


def test_a_batch_normalization_is_refused_even_in_the_frozen_part(tmp_path: Path) -> None:
    text = refused(Convolutions(nn.BatchNorm2d(4)), tmp_path, lambda n: n.startswith("head"))
    assert "`features.norm` (BatchNormalization)" in text
    assert "fold it into the convolution" in text


def changed(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], trainable: str = "0.weight"
) -> str:
    """Return the error for a graph that was changed after its export."""
    folder = tmp_path / "in"
    write(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4), lambda n: n == "0.weight", folder)
    model = onnx.load(str(folder / "model.onnx"))
    change(model)
    onnx.save(model, str(folder / "model.onnx"))
    described = json.loads((folder / "training.json").read_text())
    described["trainable"][0]["name"] = trainable
    (folder / "training.json").write_text(json.dumps(described))
    with pytest.raises(StepError) as raised:
        prepare(folder, tmp_path / "out")
    return raised.value.render()


def test_an_opset_that_the_training_runtime_does_not_read_is_refused(tmp_path: Path) -> None:
    def newer(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 22

    text = changed(tmp_path, newer)
    assert "IR version 10 with opset 22" in text
    assert "set `opset: 18`" in text


def test_a_parameter_that_is_not_in_the_graph_is_refused(tmp_path: Path) -> None:
    text = changed(tmp_path, lambda _: None, "1.weight")
    assert "`1.weight` is to be trained and is no stored weight of the graph" in text


def test_a_parameter_that_nothing_depends_on_is_refused(tmp_path: Path) -> None:
    def add(model: onnx.ModelProto) -> None:
        value = np.ones(3, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, "unused"))

    text = changed(tmp_path, add, "unused")
    assert "the outputs do not depend on `unused`" in text
    assert "train: requires_grad" in text


def test_a_graph_that_does_not_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4), lambda _: True, folder)
    described = json.loads((folder / "training.json").read_text())
    described["inputs"][0]["axes"][1] = 5
    (folder / "training.json").write_text(json.dumps(described))
    with pytest.raises(StepError, match="does not run"):
        prepare(folder, tmp_path / "out")


def test_a_rewrite_that_changes_an_output_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from olive_build.rewrites import training_rules
    from olive_build.rewrites.rule import Rewritten

    def wrong(model: onnx.ModelProto, _trainable: object) -> Rewritten:
        (weight,) = (t for t in model.graph.initializer if t.name == "0.weight")
        value = onnx.numpy_helper.to_array(weight) + 0.1
        weight.CopyFrom(onnx.numpy_helper.from_array(value, weight.name))
        return Rewritten(1)

    monkeypatch.setitem(training_rules.RULES, "wrong", wrong)
    write(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4), lambda _: True, tmp_path / "in")
    with pytest.raises(StepError, match="preparing the graph changed an output"):
        prepare(tmp_path / "in", tmp_path / "out")


def test_a_rewrite_that_changes_a_shape_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from olive_build.rewrites import training_rules
    from olive_build.rewrites.rule import Rewritten

    def wrong(model: onnx.ModelProto, _trainable: object) -> Rewritten:
        for tensor in model.graph.initializer:
            value = onnx.numpy_helper.to_array(tensor)[:2]
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
        del model.graph.value_info[:]
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
        return Rewritten(1)

    monkeypatch.setitem(training_rules.RULES, "wrong", wrong)
    write(nn.Sequential(nn.Linear(4, 3)), torch.randn(2, 4), lambda _: True, tmp_path / "in")
    with pytest.raises(StepError, match=r"changed an output's shape to \[3, 2\]") as caught:
        prepare(tmp_path / "in", tmp_path / "out")
    assert caught.value.why == "it was [3, 3], and rewrites keep it"
