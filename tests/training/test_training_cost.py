"""What a step costs: in a process of the toolchain alone, for one thread and for all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from .small_training import Dense, generated, in_toolchain, prepared

COST = """
from olive_build.training.steps.prove import TrainingCost
from olive_build.errors import StepError
reference, artifacts, out = (Path(path) for path in sys.argv[1:4])
out.mkdir(exist_ok=True)
try:
    step = TrainingCost(train_of(reference / "train.json"))
    step.run({"artifacts": artifacts, "reference": reference}, out)
except StepError as error:
    print(error.render())
"""


def test_the_cost_of_a_step(training_python: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = prepared(Dense(), tmp_path / "m")
    assert generated(training_python, folder, tmp_path / "a") == ""
    assert in_toolchain(training_python, COST, folder, tmp_path / "a", tmp_path / "c") == ""
    cost = json.loads((tmp_path / "c" / "training_cost.json").read_text())
    everything = cost.pop("all_cores")
    assert set(cost) == set(everything)
    assert (cost["threads"], everything["threads"]) == (1, os.cpu_count())
    for figures in (cost, everything):
        assert 0 < figures["milliseconds_per_step"] < 5000
        assert figures["steps"] >= 10
        assert 20e6 < figures["baseline_bytes"] < figures["peak_bytes"] < 250e6


def test_a_process_that_fails_says_why(training_python: Path, tmp_path: Path) -> None:
    folder = prepared(Dense(), tmp_path / "m")
    assert generated(training_python, folder, tmp_path / "a") == ""
    (tmp_path / "a" / "eval_model.onnx").unlink()
    said = in_toolchain(training_python, COST, folder, tmp_path / "a", tmp_path / "c")
    assert "the cost of a training step cannot be measured" in said
    assert "eval_model.onnx is missing" in said
    assert "Traceback" not in said
