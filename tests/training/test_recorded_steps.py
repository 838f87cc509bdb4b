"""Steps are compared from the states that PyTorch recorded, whatever parts two whole trainings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from olive_build.training.checkpoint_file import read_checkpoint
from olive_build.training.settings import Head
from olive_build.training.steps_file import COMPARED, compared_steps

from .small_training import (
    TRAIN,
    Images,
    failed,
    generated,
    of_recipe,
    prepared,
    proved,
    with_other_steps,
)

FROZEN = ("low.weight", "low.bias")


@pytest.fixture(scope="module")
def images(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference `m` and artifacts `a`."""
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("states")
    train = replace(TRAIN, nominal_checkpoint=True)
    prepared(Images(), base / "m", shape=(1, 8, 8), frozen=FROZEN, train=train)
    assert generated(training_python, base / "m", base / "a", "ort") == ""
    return base


def test_fewer_steps_are_recorded_where_much_is_trained() -> None:
    assert compared_steps(1_000_000, 20) == COMPARED
    assert compared_steps(380_000_000, 20) == (0, 2)
    assert compared_steps(1_000_000, 3) == (0, 1, 2)


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


@pytest.mark.parametrize(
    "what", ["moment0.5.high.weight", "state.10.head.bias", "after.2.head.bias"]
)
def test_another_state_or_end_of_a_step_is_seen(
    images: Path, training_python: Path, tmp_path: Path, what: str
) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays[what] = arrays[what] * 1.05

    reference = with_other_steps(images / "m", tmp_path / "m", change)
    figures = proved(training_python, reference, images / "a", tmp_path / "p")
    assert "parameters_difference" in failed(figures)
    assert figures["free_difference"] < 1e-5


def test_what_the_artifacts_train_is_held_against_what_pytorch_trained(
    images: Path, training_python: Path, tmp_path: Path
) -> None:
    """The artifacts leave two frozen that PyTorch trained: by their own list all is well."""
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
        "do_resize": False,
        "size": {"height": 16, "width": 16},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5],
        "image_std": [0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
