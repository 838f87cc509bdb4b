"""The proof sees what is wrong: losses, gradients, frozen parameters, resuming, missing arrays."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from olive_build.engine.fingerprint import describe
from olive_build.families.text_classification.miniature import write_miniature
from olive_build.training.settings import Head, Lora
from olive_build.training.steps.make import TrainingArtifacts
from olive_build.training.steps.prove import (
    Personalise,
    TrainedInference,
    TrainingCost,
    TrainingProof,
)
from olive_build.training.steps_file import COMPARED

from .small_training import (
    PROVE,
    TRAIN,
    Images,
    failed,
    generated,
    in_toolchain,
    of_recipe,
    prepared,
    proved,
    with_other_steps,
)

FROZEN = ("low.weight", "low.bias")


@pytest.fixture(scope="module")
def images(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference `m`, artifacts `a` and their proof `p`."""
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("proof")
    train = replace(TRAIN, nominal_checkpoint=True)
    prepared(Images(), base / "m", shape=(1, 8, 8), frozen=FROZEN, train=train)
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
    assert figures["eval_loss_difference"] < 1e-5
    assert figures["parameters"]["worst"] < 5e-4
    assert figures["parameters"]["count"] == 4
    assert figures["optimizer_differences"] == figures["unmoved"] == figures["faint"] == []
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
    found = inferred(images / "p", tmp_path)
    assert 0 <= found["difference"] < 1e-5
    assert 0 <= found["pytorch_difference"] < 1e-5
    with np.load(images / "p" / "trained.npz") as arrays:
        assert arrays["input.x"].shape == (3, 1, 8, 8)
        assert arrays["expected"].shape == arrays["pytorch"].shape == (3, 3)


def inferred(proof: Path, out: Path) -> dict[str, float]:
    TrainedInference().run({"proof": proof}, out)
    found: dict[str, float] = json.loads((out / "trained_inference.json").read_text())
    return found


@pytest.mark.parametrize(
    ("array", "figure"), [("expected", "difference"), ("pytorch", "pytorch_difference")]
)
@pytest.mark.parametrize("wrong", ["value", "nan", "shape"])
def test_another_output_is_seen(
    images: Path, tmp_path: Path, wrong: str, array: str, figure: str
) -> None:
    shutil.copytree(images / "p", tmp_path / "p")
    with np.load(tmp_path / "p" / "trained.npz") as file:
        arrays = {name: file[name] for name in file.files}
    values = arrays[array][:1] if wrong == "shape" else arrays[array]
    values[0, 0] = math.nan if wrong == "nan" else values[0, 0] + 0.25
    arrays[array] = values
    np.savez(tmp_path / "p" / "trained.npz", **arrays)
    found = inferred(tmp_path / "p", tmp_path)
    other = ({"difference", "pytorch_difference"} - {figure}).pop()
    assert found[other] < 1e-5
    assert 0.01 < found[figure] < 0.26 if wrong == "value" else found[figure] == math.inf


def test_a_wrong_loss_and_a_wrong_gradient_are_seen(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays["losses"][10] += 0.01
        arrays["gradient.1.high.bias"][2] *= 1.5
        arrays["eval_logits"][1, 1] += 0.5
        arrays["eval_loss"] -= 0.25
        for step in COMPARED:
            arrays[f"gradient.{step}.head.bias"][:] = 0

    reference = with_other_steps(images / "m", tmp_path / "m", change)
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert figures["losses_difference"] == pytest.approx(0.01, rel=0.2)
    assert figures["gradients"]["worst"] > 1e-3
    assert 0.05 < figures["eval_difference"] < 0.51
    assert figures["eval_loss_difference"] == pytest.approx(0.25, rel=0.01)
    assert figures["unmoved"] == figures["faint"] == ["head.bias"]
    assert figures["resume_exact"]


RUNTIMES_OWN = {"adam_mode": 1, "epsilon": 1e-6, "weight_decay": 0.0}


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_another_adamw_is_seen_at_small_rates(
    training_python: Path, tmp_path: Path, rate: float
) -> None:
    torch.manual_seed(0)
    train = replace(TRAIN, optimizer=replace(TRAIN.optimizer, lr=rate))
    prepared(Images(), tmp_path / "m", shape=(1, 8, 8), train=train)
    assert generated(training_python, tmp_path / "m", tmp_path / "a") == ""
    good = proved(training_python, tmp_path / "m", tmp_path / "a", tmp_path / "p")
    assert failed(good) == set()
    path = tmp_path / "a" / "optimizer_model.onnx"
    for settings in (RUNTIMES_OWN, {"weight_decay": 0.5}):
        model = onnx.load(str(path))
        for item in model.graph.node[0].attribute:
            if item.name in settings:
                item.CopyFrom(onnx.helper.make_attribute(item.name, settings[item.name]))
        shutil.copytree(tmp_path / "a", tmp_path / "other", dirs_exist_ok=True)
        onnx.save(model, str(tmp_path / "other" / path.name))
        figures = proved(training_python, tmp_path / "m", tmp_path / "other", tmp_path / "q")
        # Steps alone tell, and the file's own settings say what it is.
        assert {"parameters_difference", "optimizer_difference"} <= failed(figures)
        assert figures["parameters"]["worst"] > 10 * good["parameters"]["worst"]
        assert len(figures["optimizer_differences"]) == len(settings)
    assert figures["optimizer_differences"] == ["weight_decay is 0.5, not 0.01"]


def test_other_files_of_the_ort_form_are_seen(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    torch.manual_seed(9)
    loss = replace(TRAIN.loss, class_weights=(1.0, 2.0, 3.0))
    train = replace(TRAIN, optimizer=replace(TRAIN.optimizer, weight_decay=0.9), loss=loss)
    prepared(Images(), tmp_path / "m", shape=(1, 8, 8), frozen=FROZEN, train=train)
    assert generated(training_python, tmp_path / "m", tmp_path / "other", "ort") == ""
    figure = {"optimizer_model": "parameters_difference", "eval_model": "ort_difference"}
    for name in figure:
        shutil.copytree(images / "a", tmp_path / "a", dirs_exist_ok=True)
        shutil.copy(tmp_path / "other" / f"{name}.ort", tmp_path / "a")
        figures = proved(training_python, images / "m", tmp_path / "a", tmp_path / "p")
        assert figure[name] in failed(figures)
        assert figures["losses_difference"] < 1e-5


def test_another_evaluation_model_is_seen(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    shutil.copytree(images / "a", tmp_path / "a")
    model = onnx.load(str(images / "a" / "eval_model.onnx"))
    nodes = list(model.graph.node)
    last = next(i for i, node in enumerate(nodes) if "logits" in node.output)
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = ["whole" if name == "logits" else name for name in names]
    half = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")
    model.graph.initializer.append(half)
    halved = onnx.helper.make_node("Mul", ["whole", "half"], ["logits"])
    model.graph.node.insert(last + 1, halved)
    onnx.save(model, str(tmp_path / "a" / "eval_model.onnx"))
    for path in (tmp_path / "a").glob("*.ort"):
        path.unlink()
    figures = proved(training_python, images / "m", tmp_path / "a", tmp_path / "p")
    assert failed(figures) == {"eval_difference"}
    # The exported model is made from the same file: PyTorch alone tells it.
    found = inferred(tmp_path / "p", tmp_path)
    assert found["difference"] < 1e-5 < 1e-3 < found["pytorch_difference"]


def test_a_recipes_own_way_holds_with_sizes_that_vary(
    training_python: Path, tmp_path: Path
) -> None:
    """LoRA below a head of zeros, every length and batch free."""
    folders = {name: tmp_path / name for name in ("source", "exported", "m", "a")}
    for folder in folders.values():
        folder.mkdir()
    write_miniature(folders["source"])
    train = replace(
        TRAIN,
        requires_grad=(),
        head=Head("classifier", 2, ("no", "yes"), "zeros"),
        lora=Lora(("*.attention.self.query",), 2, 4.0),
        optimizer=replace(TRAIN.optimizer, lr=1e-3),
        batch_size=8,
    )
    figures = of_recipe(training_python, "text-classification", folders, train)
    assert failed(figures) == set()
    # The third step is the first with a gradient of what is below two zeros.
    assert figures["unmoved"] == []


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


def test_one_thread_decides_where_sums_over_threads_differ(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    code = PROVE.replace(
        "reference, artifacts",
        """
from olive_build.training.session import TrainingSession
begin, step = TrainingSession.__init__, TrainingSession.step
count = iter(range(1000))
def begun(self, folder, *, threads=None, **others):
    begin(self, folder, threads=threads, **others)
    self.noise = 0 if threads == 1 else 1e-9
def noisy(self, inputs, target):
    # As threads that add up in the order in which they come.
    return step(self, inputs, target) + self.noise * next(count)
TrainingSession.__init__, TrainingSession.step = begun, noisy
reference, artifacts""",
        1,
    )
    in_toolchain(training_python, code, images / "m", images / "a", tmp_path / "p")
    figures = figures_of(tmp_path / "p")
    assert (figures["resume_exact"], figures["nominal_exact"]) == (True, True)
    assert (figures["exact_threads"], figures_of(images / "p")["exact_threads"]) == (1, None)
    assert not (tmp_path / "p" / "alone.onnx").exists()


def test_a_missing_array_is_named(images: Path, training_python: Path, tmp_path: Path) -> None:
    reference = with_other_steps(
        images / "m", tmp_path / "m", lambda arrays: arrays.pop("gradient.0.head.bias")
    )
    code = f"""
from olive_build.errors import StepError
try:
    {PROVE.strip().replace(chr(10), chr(10) + "    ")}
except StepError as error:
    print(error.render())
"""
    said = in_toolchain(training_python, code, reference, images / "a", tmp_path / "p")
    assert "the steps that PyTorch computed hold no `gradient.0.head.bias`" in said


def test_what_measures_and_what_writes_are_in_the_key() -> None:
    for step in (TrainedInference, TrainingProof, TrainingCost, Personalise):
        assert step.measures
    # They write the bytes of checkpoints and of .onnx and .ort files.
    made = describe(TrainingArtifacts(TRAIN, ()), {})
    assert {"flatbuffers", "protobuf", "onnx"} <= made.tools.keys() and made.machine is None
