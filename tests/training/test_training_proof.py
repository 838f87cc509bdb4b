"""The proof sees what is wrong: losses, gradients, frozen parameters, resuming, missing arrays."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olive_build.steps.trained_inference import TrainedInference
from olive_build.training.proof import (
    gradients_difference,
    largest_difference,
    losses_difference,
)

from .small_training import PROVE, TRAIN, Images, generated, in_toolchain, prepared, proved


@pytest.fixture(scope="module")
def images(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference `m`, artifacts `a` and their proof `p`."""
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("proof")
    train = replace(TRAIN, nominal_checkpoint=True)
    frozen = ("low.weight", "low.bias")
    prepared(Images(), base / "m", shape=(1, 8, 8), frozen=frozen, train=train)
    assert generated(training_python, base / "m", base / "a", "ort") == ""
    proved(training_python, base / "m", base / "a", base / "p")
    return base


def figures_of(folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((folder / "training_proof.json").read_text())
    return figures


def test_good_artifacts_hold_every_promise(images: Path) -> None:
    figures = figures_of(images / "p")
    assert figures["losses_difference"] < 1e-5
    assert figures["gradients"]["worst"] < 1e-4
    assert figures["gradients"]["count"] == 4
    assert figures["gradients"]["parameter"] in (
        "head.bias",
        "head.weight",
        "high.bias",
        "high.weight",
    )
    assert figures["eval_difference"] < 1e-5
    assert (figures["frozen_identical"], figures["frozen_changed"]) == (True, [])
    assert figures["resume_exact"] is True
    assert figures["ort_difference"] <= 1e-6
    assert figures["nominal_exact"] is True
    assert figures["steps"] == len(figures["losses"]) == 20
    assert set(figures["loads"]) == {
        path.name
        for path in (images / "a").iterdir()
        if path.suffix != ".config" and path.name not in ("training.json", "model.onnx")
    }
    assert {p.name for p in (images / "p").iterdir()} == {
        "training_proof.json",
        "trained.onnx",
        "trained.npz",
    }


def test_the_trained_model_runs_in_the_current_runtime(images: Path, tmp_path: Path) -> None:
    TrainedInference().run({"proof": images / "p"}, tmp_path)
    found = json.loads((tmp_path / "trained_inference.json").read_text())
    assert 0 <= found["difference"] < 1e-5
    with np.load(images / "p" / "trained.npz") as arrays:
        assert arrays["x"].shape == (3, 1, 8, 8)
        assert arrays["expected"].shape == (3, 3)


@pytest.mark.parametrize("wrong", ["value", "nan", "shape"])
def test_another_output_is_seen(images: Path, tmp_path: Path, wrong: str) -> None:
    shutil.copytree(images / "p", tmp_path / "p")
    with np.load(tmp_path / "p" / "trained.npz") as arrays:
        x, expected = arrays["x"], arrays["expected"]
    expected = expected[:1] if wrong == "shape" else expected
    expected[0, 0] = math.nan if wrong == "nan" else expected[0, 0] + 0.25
    np.savez(tmp_path / "p" / "trained.npz", x=x, expected=expected)
    TrainedInference().run({"proof": tmp_path / "p"}, tmp_path)
    found = json.loads((tmp_path / "trained_inference.json").read_text())
    assert found["difference"] == (pytest.approx(0.25, abs=1e-4) if wrong == "value" else math.inf)


def changed(images: Path, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Copy the reference with another steps.npz."""
    shutil.copytree(images / "m", folder)
    with np.load(folder / "steps.npz") as steps:
        arrays = {name: steps[name] for name in steps.files}
    change(arrays)
    np.savez(folder / "steps.npz", **arrays)
    return folder


def test_a_wrong_loss_and_a_wrong_gradient_are_seen(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays["losses"][17] += 0.01
        arrays["gradient.1.high.bias"][2] *= 1.5
        arrays["eval_logits"][1, 1] += 0.5

    reference = changed(images, tmp_path / "m", change)
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert figures["losses_difference"] == pytest.approx(0.01, rel=0.2)
    assert figures["gradients"]["parameter"] == "high.bias"
    assert figures["gradients"]["worst"] > 1e-3
    assert figures["eval_difference"] == pytest.approx(0.5, rel=0.01)
    assert figures["resume_exact"]


def test_other_artifacts_are_seen(images: Path, training_python: Path, tmp_path: Path) -> None:
    # The optimizer of another recipe, and a nominal checkpoint and .ort form of other weights.
    torch.manual_seed(9)
    train = replace(
        TRAIN, optimizer=replace(TRAIN.optimizer, weight_decay=0.9), nominal_checkpoint=True
    )
    frozen = ("low.weight", "low.bias")
    prepared(Images(), tmp_path / "m", shape=(1, 8, 8), frozen=frozen, train=train)
    assert generated(training_python, tmp_path / "m", tmp_path / "other", "ort") == ""
    shutil.copytree(images / "a", tmp_path / "a")
    shutil.copy(tmp_path / "other" / "optimizer_model.ort", tmp_path / "a")
    shutil.copy(tmp_path / "other" / "optimizer_model.onnx", tmp_path / "other.onnx")
    figures = proved(training_python, images / "m", tmp_path / "a", tmp_path / "p")
    assert figures["losses_difference"] < 1e-5 < figures["ort_difference"]
    shutil.copy(tmp_path / "other.onnx", tmp_path / "a" / "optimizer_model.onnx")
    figures = proved(training_python, images / "m", tmp_path / "a", tmp_path / "p")
    assert figures["losses_difference"] > 1e-5
    assert figures["gradients"]["worst"] > 1e-4  # the second step's, after a wrong first one


def test_a_frozen_parameter_that_moves_is_named(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    code = PROVE.replace(
        "reference, artifacts",
        """
from olive_build.training.session import TrainingSession
step = TrainingSession.step
def moving(self, inputs, target):
    # As a native kernel would that writes where it must not.
    values = self._state.parameters["low.bias"].data
    values += 1e-7
    self._state.parameters["low.bias"] = values
    return step(self, inputs, target)
TrainingSession.step = moving
reference, artifacts""",
        1,
    )
    in_toolchain(training_python, code, images / "m", images / "a", tmp_path / "p")
    figures = figures_of(tmp_path / "p")
    assert figures["frozen_identical"] is False
    assert figures["frozen_changed"] == ["low.bias"]


def test_a_checkpoint_that_loses_something_is_seen(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    code = PROVE.replace(
        "reference, artifacts",
        """
from olive_build.training.runtime import training_runtime
from olive_build.training.session import TrainingSession
def without_optimizer(self, path):
    training_runtime().CheckpointState.save_checkpoint(self._state, str(path), False)
TrainingSession.save_checkpoint = without_optimizer
reference, artifacts""",
        1,
    )
    in_toolchain(training_python, code, images / "m", images / "a", tmp_path / "p")
    figures = figures_of(tmp_path / "p")
    assert figures["resume_exact"] is False
    assert figures["losses_difference"] < 1e-5


def test_a_missing_array_is_named(images: Path, training_python: Path, tmp_path: Path) -> None:
    reference = changed(images, tmp_path / "m", lambda arrays: arrays.pop("gradient.0.head.bias"))
    code = f"""
from olive_build.errors import StepError
try:
    {PROVE.strip().replace(chr(10), chr(10) + "    ")}
except StepError as error:
    print(error.render())
"""
    said = in_toolchain(training_python, code, reference, images / "a", tmp_path / "p")
    assert "the steps that PyTorch computed hold no `gradient.0.head.bias`" in said


def test_losses_above_one_are_compared_by_ratio() -> None:
    assert losses_difference([0.5, 101.0], [0.4, 100.0]) == pytest.approx(0.1)
    assert losses_difference([0.5, 110.0], [0.5, 100.0]) == pytest.approx(0.1)
    assert losses_difference([0.5, math.nan], [0.5, 1.0]) == math.inf


def test_gradients_are_compared_by_parameter() -> None:
    good = {"a": np.array([3.0, 4.0]), "noise": np.array([1e-10, 0.0])}
    expected = {"a": np.array([3.0, 4.0]), "noise": np.array([0.0, 1e-10])}
    # What rounding leaves of a gradient of zero is no error ...
    assert gradients_difference(good, expected.__getitem__)["worst"] < 1e-6
    # ... and a small gradient that is wrong by more than rounding is.
    small = {"a": np.array([3.0, 4.0]), "noise": np.array([1e-5, 0.0])}
    found = gradients_difference(small, expected.__getitem__)
    assert found["worst"] > 1e-4
    assert found["parameter"] == "noise"
    nan = {"a": np.array([math.nan, 4.0]), "noise": np.array([1e-10, 0.0])}
    assert gradients_difference(nan, expected.__getitem__) == {
        "worst": math.inf,
        "parameter": "a",
        "count": 2,
    }
    shape = gradients_difference({"a": np.array([[3.0, 4.0]])}, expected.__getitem__)
    assert shape["worst"] == math.inf


def test_outputs_that_cannot_be_compared_differ() -> None:
    assert largest_difference(np.zeros((1, 2)), np.zeros((2, 2))) == math.inf
    assert largest_difference(np.array([1.0]), np.array([math.nan])) == math.inf
    assert largest_difference(np.array([1.0]), np.array([0.75])) == 0.25
