"""AdamW and SGD as PyTorch's, over 20 steps; the file is one that a device can load."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olive_build.training.optimizers import optimizer_model
from olive_build.training.settings import Optimizer

from .small_training import STEPS, TRAIN, Dense, Images, generated, in_toolchain, prepared, proved

FINAL = """
import numpy as np
from olive_build.training.session import TrainingSession
artifacts, reference = Path(sys.argv[1]), np.load(Path(sys.argv[2]) / "steps.npz")
session = TrainingSession(artifacts)
assert abs(session.learning_rate - float(sys.argv[3])) < 1e-7, session.learning_rate
for x, target in zip(reference["input.x"], reference["target"]):
    session.step([x], target)
print(json.dumps({
    name: float(np.abs(value - reference[f"final.{name}"]).max())
    for name, value in session.parameters(trainable=True).items()
}))
"""
OPTIMIZERS = {
    "adamw": Optimizer("adamw", lr=0.01),
    "adamw, all its own": Optimizer(
        "adamw", lr=0.02, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.3
    ),
    "adamw, no decay": Optimizer("adamw", lr=0.01, weight_decay=0.0),
    "sgd": Optimizer("sgd", lr=0.2),
}


@pytest.mark.parametrize("case", sorted(OPTIMIZERS))
def test_twenty_steps_are_pytorchs(training_python: Path, tmp_path: Path, case: str) -> None:
    torch.manual_seed(3)
    train = replace(TRAIN, optimizer=OPTIMIZERS[case])
    folder = prepared(Dense(), tmp_path / "m", train=train)
    assert generated(training_python, folder, tmp_path / "a") == ""
    figures = proved(training_python, folder, tmp_path / "a", tmp_path / "p")
    assert figures["steps"] == STEPS
    assert figures["losses_difference"] < 1e-5
    rate = train.optimizer.lr
    moved = json.loads(in_toolchain(training_python, FINAL, tmp_path / "a", folder, rate))
    assert moved and max(moved.values()) < 1e-5, moved


def test_the_steps_do_train(training_python: Path, tmp_path: Path) -> None:
    # Twenty losses that agree could be twenty losses of a model that stands still.
    with np.load(prepared(Images(), tmp_path / "m", shape=(1, 8, 8)) / "steps.npz") as steps:
        moved = {
            name: float(np.abs(steps[f"final.{name}"] - steps[f"initial.{name}"]).max())
            for name in (key[6:] for key in steps.files if key.startswith("final."))
        }
    assert min(moved.values()) > 0.01


def attributes(model: Any) -> dict[str, Any]:
    return {item.name: item.f or item.i for item in model.graph.node[0].attribute}


def test_hyper_parameters_are_those_of_the_recipe() -> None:
    model = optimizer_model(Optimizer("adamw", 0.1, (0.8, 0.9), 1e-4, 0.25), 17)
    found = attributes(model)
    assert found == pytest.approx(
        {
            "alpha": 0.8,
            "beta": 0.9,
            "epsilon": 1e-4,
            "weight_decay": 0.25,
            "correct_bias": 1,
            "adam_mode": 0,
        }
    )


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_device_can_read_the_file(name: Any) -> None:
    import onnx

    newest = onnx.IR_VERSION
    model = optimizer_model(Optimizer(name, 0.1), 18)
    assert model.ir_version == 10
    assert {opset.domain: opset.version for opset in model.opset_import} == {
        "": 18,
        "com.microsoft": 1,
    }
    assert onnx.IR_VERSION == newest > 10
