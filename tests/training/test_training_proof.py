"""The proof sees what is wrong: losses, gradients, frozen parameters, resuming, missing arrays."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from olive_build.families.text_classification.miniature import write_miniature
from olive_build.proof.training_verdict import training_figures, training_gates
from olive_build.steps.prepare_training import PrepareTraining
from olive_build.steps.trained_inference import TrainedInference
from olive_build.steps.training_artifacts import TrainingArtifacts
from olive_build.steps.training_export import TrainingExport
from olive_build.steps.training_proof import TrainingProof
from olive_build.steps.training_reference import TrainingReference
from olive_build.training.checkpoint_file import read_checkpoint
from olive_build.training.settings import Head, Lora, Train
from olive_build.training.steps_file import COMPARED

from .small_training import PROVE, TRAIN, Images, generated, in_toolchain, prepared, proved

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


def test_steps_are_compared_from_the_state_that_was_recorded(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    """PyTorch's training is parted from ours on the way, as rounding parts those of a ReLU."""
    torch.manual_seed(0)
    train = replace(TRAIN, nominal_checkpoint=True)
    nudged = {"nudge": {3: 3e-3, 8: 3e-3}, "shape": (1, 8, 8), "frozen": FROZEN, "train": train}
    reference = prepared(Images(), tmp_path / "m", **nudged)
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert 1e-4 < figures["free_difference"] < 5e-2
    assert failed(figures) == set()
    assert figures["losses_difference"] < 1e-6
    assert figures["parameters"]["worst"] < 1e-4
    assert figures["compared"] == [0, 1, 2, 5, 10, 19]
    assert not list((tmp_path / "p").glob("state-*"))


@pytest.mark.parametrize("what", ["moment0.5.high.weight", "state.10.head.bias", "after.2.head.bias"])
def test_another_state_or_end_of_a_step_is_seen(
    images: Path, training_python: Path, tmp_path: Path, what: str
) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays[what] = arrays[what] * 1.05

    reference = changed(images, tmp_path / "m", change)
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert "parameters_difference" in failed(figures)
    assert figures["free_difference"] < 1e-5


def test_what_the_artifacts_train_is_held_against_what_pytorch_trained(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    """The artifacts leave two parameters frozen that were trained: by their own list all is well."""
    torch.manual_seed(0)
    reference = prepared(Images(), tmp_path / "m", shape=(1, 8, 8))
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert {"gradient_difference", "parameters_difference", "start_difference"} <= failed(figures)
    assert figures["start_changed"] == ["low.bias", "low.weight"]
    assert figures["gradients"]["parameter"] == "low.bias"


def test_a_checkpoint_that_begins_elsewhere_is_seen(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    """A weight of the checkpoint has other bits, too little for a loss to tell."""
    shutil.copytree(images / "a", tmp_path / "a")
    stored = read_checkpoint(tmp_path / "a" / "checkpoint", writable=True)
    values = stored.trainable["head.bias"].values()
    values[1] = np.nextafter(values[1], 1)
    figures = proved(training_python, images / "m", tmp_path / "a", tmp_path / "p")
    assert figures["start_changed"] == ["head.bias"]
    assert failed(figures) >= {"start_difference"}


def test_a_network_of_relus_and_batch_norms_holds_where_all_of_it_learns(
    training_python: Path, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("source", "exported", "m", "a")}
    for folder in folders.values():
        folder.mkdir()
    write_resnet(folders["source"])
    loss = replace(TRAIN.loss, class_weights=(1.0, 2.0, 3.0))
    head = Head("classifier.1", 3, ("a", "b", "c"))
    rate = replace(TRAIN.optimizer, lr=1e-3)
    train = replace(TRAIN, head=head, loss=loss, optimizer=rate, batch_size=8)
    figures = of_recipe(training_python, "image-classification", folders, train)
    assert failed(figures) == set()
    assert figures["gradients"]["worst"] < 2e-5
    assert len(figures["compared"]) == 6


def write_resnet(folder: Path) -> None:
    """Write a ResNet whose batch norms have seen something, and its processor's file."""
    config = ResNetConfig(
        num_channels=1,
        embedding_size=4,
        hidden_sizes=[4, 8],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "no", 1: "yes"},
        label2id={"no": 0, "yes": 1},
    )
    torch.manual_seed(0)
    model = ResNetForImageClassification(config)
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand_like(value) + 0.5)
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "ConvNextImageProcessor",
        **{"do_resize": False, "size": {"height": 16, "width": 16}},
        **{"do_rescale": True, "rescale_factor": 1 / 255},
        **{"do_normalize": True, "image_mean": [0.5], "image_std": [0.5]},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")


def of_recipe(
    training_python: Path, family: str, folders: dict[str, Path], train: Train
) -> dict[str, Any]:
    """Make and prove artifacts as the steps of a recipe do."""
    source = {"source": folders["source"]}
    TrainingExport(family, 18, (), train).run(source, folders["exported"])
    PrepareTraining().run({"model": folders["exported"]}, folders["m"])
    TrainingReference(family, (), train).run(source, folders["m"])
    (folders["m"] / "train.json").write_text(json.dumps(asdict(train)))
    assert generated(training_python, folders["m"], folders["a"]) == ""
    return proved(training_python, folders["m"], folders["a"], folders["a"].with_name("p"))


def inferred(proof: Path, out: Path) -> dict[str, float]:
    TrainedInference("this one").run({"proof": proof}, out)
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
        arrays["losses"][10] += 0.01
        arrays["gradient.1.high.bias"][2] *= 1.5
        arrays["eval_logits"][1, 1] += 0.5
        arrays["eval_loss"] -= 0.25
        for step in COMPARED:
            arrays[f"gradient.{step}.head.bias"][:] = 0

    reference = changed(images, tmp_path / "m", change)
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert figures["losses_difference"] == pytest.approx(0.01, rel=0.2)
    assert figures["gradients"]["worst"] > 1e-3
    assert 0.05 < figures["eval_difference"] < 0.51
    assert figures["eval_loss_difference"] == pytest.approx(0.25, rel=0.01)
    assert figures["unmoved"] == figures["faint"] == ["head.bias"]
    assert figures["parameters"]["count"] == 3
    assert figures["resume_exact"]


def failed(figures: dict[str, Any]) -> set[str]:
    inference = {"difference": 0.0, "pytorch_difference": 0.0}
    gates = training_gates(training_figures(figures, inference, {}, None), None)
    return {gate.figure for gate in gates if gate.status == "failed"}


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


def test_what_measures_and_what_writes_are_in_the_key() -> None:
    assert TrainedInference("one") != TrainedInference("another")
    assert TrainingProof(TRAIN, (), "one") != TrainingProof(TRAIN, (), "another")
    # They write the bytes of checkpoints and of .onnx and .ort files.
    assert {"flatbuffers", "protobuf", "onnx"} <= set(TrainingArtifacts.tools)
