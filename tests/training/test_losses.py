"""Each loss against PyTorch's: value, gradient, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from .small_training import TRAIN, Dense, generated, in_toolchain, prepared, proved, with_loss

# The graph is the loss alone: y = x + w, w a parameter of zeros, so that w's gradient is x's.
ALONE = """
import numpy as np, onnx
from olive_build.training.artifacts import make_artifacts
from olive_build.training.session import TrainingSession
folder = Path(sys.argv[1])
train = train_of(folder / "train.json")
described = json.loads((folder / "training.json").read_text())
(folder / "out").mkdir(exist_ok=True)
make_artifacts(folder / "model.onnx", described, train, (), folder / "out")
session = TrainingSession(folder / "out")
values = np.load(folder / "values.npz")
loss, gradients = session.loss_and_gradients([values["x"]], values["target"])
evaluated, _ = session.evaluate([values["x"]], values["target"])
assert loss == evaluated
print(json.dumps([loss, gradients["w"].tolist()]))
"""


def value_and_gradient(
    python: Path, folder: Path, train: Any, x: np.ndarray[Any, Any], target: np.ndarray[Any, Any]
) -> tuple[float, np.ndarray[Any, Any]]:
    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(x.shape))

    weights = onnx.numpy_helper.from_array(np.zeros_like(x), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], name="add")]
    graph = helper.make_graph(nodes, "alone", [value("x")], [value("y")], [weights])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
    classes = train.loss.name == "cross-entropy"
    described = {
        "inputs": [{"name": "x", "type": "float32", "axes": list(x.shape)}],
        "target": {
            "name": "labels" if classes else "target",
            "type": str(target.dtype),
            "axes": list(target.shape),
        },
        "outputs": ["y"],
        "trainable": [{"name": "w", "shape": list(x.shape)}],
        "frozen": [],
    }
    (folder / "training.json").write_text(json.dumps(described))
    from dataclasses import asdict

    (folder / "train.json").write_text(json.dumps(asdict(train)))
    np.savez(folder / "values.npz", x=x, target=target)
    loss, gradient = json.loads(in_toolchain(python, ALONE, folder))
    return loss, np.array(gradient, np.float32)


LOGITS = np.array(
    [[0, 100, -100, 1e-4], [0, -100, 100, -3], [40, -40, 0.3, 0], [-1e-6, 88, -88, 17]], np.float32
)
SIDES = np.array([[0, 1, 0, 1], [1, 1, 0, 0.25], [0, 1, 1, 0.5], [1, 0, 1, 0]], np.float32)
NAMES = {"mse": "mse_loss", "l1": "l1_loss", "bce-with-logits": "binary_cross_entropy_with_logits"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_values_and_gradients_are_pytorchs(
    training_python: Path, tmp_path: Path, name: str
) -> None:
    x = torch.tensor(LOGITS, requires_grad=True)
    expected = getattr(torch.nn.functional, NAMES[name])(x, torch.tensor(SIDES))
    expected.backward()
    loss, gradient = value_and_gradient(training_python, tmp_path, with_loss(name), LOGITS, SIDES)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert x.grad is not None
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-7)


@pytest.mark.parametrize("weights", [(), (0.5, 1.0, 7.0, 0.0)])
def test_cross_entropy_is_pytorchs(
    training_python: Path, tmp_path: Path, weights: tuple[float, ...]
) -> None:
    labels = np.array([2, 0, 2, 3])
    x = torch.tensor(LOGITS, requires_grad=True)
    given = torch.tensor(weights) if weights else None
    expected = torch.nn.functional.cross_entropy(x, torch.tensor(labels), weight=given)
    expected.backward()
    train = with_loss("cross-entropy", class_weights=weights)
    loss, gradient = value_and_gradient(training_python, tmp_path, train, LOGITS, labels)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert x.grad is not None
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-7)


@pytest.mark.parametrize("name", ["cross-entropy", "mse"])
def test_of_several_outputs_the_last_is_taken(
    training_python: Path, tmp_path: Path, name: str
) -> None:
    torch.manual_seed(0)
    folder = prepared(Dense(2), tmp_path / "m", outputs=("hidden", "y"), train=with_loss(name))
    assert generated(training_python, folder, tmp_path / "a") == ""
    figures = proved(training_python, folder, tmp_path / "a", tmp_path / "p")
    assert figures["losses_difference"] < 1e-5
    assert figures["gradients"]["worst"] < 1e-5
    assert figures["eval_difference"] < 1e-5


def test_of_several_outputs_the_named_one_is_taken(training_python: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Dense(2)
    # What lies above the named output does not train.
    frozen = ("second.weight", "second.bias")
    train = with_loss("mse", output="hidden")
    folder = prepared(model, tmp_path / "m", outputs=("hidden", "y"), train=train, frozen=frozen)
    assert generated(training_python, folder, tmp_path / "a") == ""
    figures = proved(training_python, folder, tmp_path / "a", tmp_path / "p")
    assert figures["losses_difference"] < 1e-5
    assert figures["eval_difference"] < 1e-5


def test_an_output_that_does_not_exist_is_named(training_python: Path, tmp_path: Path) -> None:
    folder = prepared(Dense(), tmp_path / "m")
    fields = json.loads((folder / "train.json").read_text())
    fields["loss"]["output"] = "embedding"
    (folder / "train.json").write_text(json.dumps(fields))
    said = generated(training_python, folder, tmp_path / "a")
    assert "the loss is taken of `embedding`, which is no output of the model" in said
    assert "to fix:  write one of logits" in said


def test_as_many_class_weights_as_classes(training_python: Path, tmp_path: Path) -> None:
    folder = prepared(Dense(), tmp_path / "m")
    fields = json.loads((folder / "train.json").read_text())
    fields["loss"]["class_weights"] = [1.0, 2.0]
    (folder / "train.json").write_text(json.dumps(fields))
    said = generated(training_python, folder, tmp_path / "a")
    assert "there are 2 class weights for 3 classes" in said
    assert "output `logits`" in said


def test_a_value_of_the_losss_name_is_refused(training_python: Path, tmp_path: Path) -> None:
    folder = prepared(Dense(), tmp_path / "m", outputs=("loss",), train=TRAIN)
    said = generated(training_python, folder, tmp_path / "a")
    assert "a value of the model is called `loss`" in said
    assert "rename" in said
