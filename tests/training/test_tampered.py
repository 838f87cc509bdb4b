"""A training bundle whose files were changed and sealed again is refused: read, or by training."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olive_build.errors import BundleError
from olive_build.record.read import read_manifest
from olive_build.training.verdict import repeated_gates
from olive_build.training.verifying import training_problems

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data

from .small_training import TRAIN, Images, generated, in_toolchain, prepared
from .tamperings import CASES, MODELS, REMAKE

FROZEN = ("low.weight", "low.bias")
# Each folder's figures, a line each; an error's text where there is one.
REPEAT = """
from olive_build.errors import OliveBuildError
from olive_build.training.verify_child import repeated
for folder in sys.argv[1:]:
    try:
        print("FOUND", json.dumps(repeated(Path(folder))))
    except OliveBuildError as error:
        print("FOUND", json.dumps({"error": error.render()}))
"""


@pytest.fixture(scope="module")
def bundles(training_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle `good`, and a changed copy of it for each case."""
    base = tmp_path_factory.mktemp("tampered")
    torch.manual_seed(0)
    train = replace(TRAIN, nominal_checkpoint=True)
    prepared(Images(), base / "m", shape=(1, 8, 8), frozen=FROZEN, train=train)
    good = base / "good"
    assert generated(training_python, base / "m", good / "training", "ort") == ""
    for name in ("inference", "reference"):
        (good / name).mkdir()
    (good / "training" / "model.onnx").rename(good / "inference" / "model.onnx")
    for name in ("reference.json", "reference.npz", "training_steps.npz"):
        shutil.copy(base / "m" / name, good / "reference")
    shutil.copy(base / "m" / "steps.npz", good)
    described = json.loads((good / "training" / "training.json").read_text())
    (good / "manifest.json").write_text(json.dumps(manifest(described)))
    for name, tampering in CASES.items():
        shutil.copytree(good, base / name)
        tampering.change(base / name)
    in_toolchain(training_python, REMAKE, base)
    return base


def manifest(described: dict[str, Any]) -> dict[str, Any]:
    files = {name: f"training/{name}.onnx" for name in MODELS}
    files |= {f"{name}_ort": f"training/{name}.ort" for name in MODELS}
    files |= {name: f"training/{name}" for name in ("checkpoint", "nominal_checkpoint")}
    section = {
        "labels": ["a", "b", "c"],
        "data": {"kind": "images"},
        **described,
        "loss": asdict(TRAIN.loss),
        "optimizer": asdict(TRAIN.optimizer),
        "batch_size": 4,
        "epochs": 1,
        "seed": 0,
        "files": files,
    }
    said = {
        "model": {"family": "image-classification"},
        "variants": {"inference": {"files": {"onnx": "inference/model.onnx"}}},
        "training": section,
    }
    return manifest_data(said)


def read(folder: Path) -> list[str]:
    training = read_manifest(folder).training
    assert training is not None
    return training_problems(folder, training)


@pytest.fixture(scope="module")
def repeated(training_python: Path, bundles: Path) -> dict[str, dict[str, Any]]:
    """What one process in the toolchain says of all bundles that the runtime opens."""
    names = [name for name in ("good", *CASES) if not name.startswith(("junk-", "empty-"))]
    said = in_toolchain(training_python, REPEAT, *(bundles / name for name in names))
    found: Iterator[str] = (line for line in said.splitlines() if line.startswith("FOUND "))
    return {name: json.loads(next(found).removeprefix("FOUND ")) for name in names}


def failed(found: dict[str, Any]) -> set[str]:
    if "error" in found:
        return {"error"}
    return {gate.figure for gate in repeated_gates(found) if gate.status == "failed"}


def test_the_bundle_as_it_was_made_passes(bundles: Path, repeated: dict[str, Any]) -> None:
    assert read(bundles / "good") == []
    assert failed(repeated["good"]) == set()
    assert set(repeated["good"]["forms"]) == {"onnx", "ort"}
    assert repeated["good"]["nominal_exact"] is True
    for figures in repeated["good"]["forms"].values():
        assert figures["losses_difference"] < 1e-6
        assert figures["gradients"]["worst"] < 1e-5
        assert figures["parameters"]["worst"] < 1e-3


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.read])
def test_what_reading_can_tell_is_told_without_the_toolchain(bundles: Path, name: str) -> None:
    found = read(bundles / name)
    assert found, name
    path = found[0].partition(": ")[0]
    assert path.startswith("training/")
    form = ".ort" if name.startswith("ort-") else ""
    assert form in path


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.read])
def test_what_is_learned_otherwise_is_told_by_steps(repeated: dict[str, Any], name: str) -> None:
    assert failed(repeated[name]), repeated[name]


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        *(("sign", "gradient_difference"), ("ort-sign", "gradient_difference")),
        *(("gradient-scaled", "gradient_difference"), ("gradients-kept", "parameters_difference")),
        *(("loss", "losses_difference"), ("eval-loss", "eval_loss_difference")),
        *(("eval-logits", "eval_difference"), ("ort-eval-logits", "eval_difference")),
        *(("frozen-weight", "inference_changed"), ("weight", "start_difference")),
        *(("alpha", "parameters_difference"), ("ort-beta", "parameters_difference")),
        ("weight_decay", "parameters_difference"),
        *(("moments-swapped", "parameters_difference"), ("trained", "start_difference")),
    ],
)
def test_steps_say_what_is_other(repeated: dict[str, Any], name: str, figure: str) -> None:
    assert figure in failed(repeated[name]), repeated[name]


def test_what_differs_is_named(bundles: Path) -> None:
    assert read(bundles / "epsilon") == [
        "training/optimizer_model.onnx: epsilon is 1e-06, not 1e-08"
    ]
    assert read(bundles / "ort-weight_decay") == [
        "training/optimizer_model.ort: weight_decay is 0.5, not 0.01"
    ]
    assert read(bundles / "weight") == [
        "training/checkpoint: `head.weight` has other values than PyTorch began with"
    ]
    (junk,) = read(bundles / "junk-training_model.ort")
    assert "training_model.ort is no model of the ORT form, or is damaged" in junk
    (moved,) = read(bundles / "inputs-turned")
    assert moved == "training/training_model.onnx: it takes labels, x, not x, labels"


def test_stored_steps_that_are_gone_or_damaged_are_refused(bundles: Path, tmp_path: Path) -> None:
    shutil.copytree(bundles / "good", tmp_path / "b")
    path = tmp_path / "b" / "reference" / "training_steps.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for damage in ("short", "junk", "gone"):
        if damage == "short":
            np.savez(path, **{**arrays, "losses": arrays["losses"][:1]})
        elif damage == "junk":
            path.write_bytes(b"PK\x03\x04 no archive")
        else:
            path.unlink()
        with pytest.raises(BundleError, match="the stored steps of training cannot be read"):
            read(tmp_path / "b")


def test_a_file_at_another_place_is_refused(bundles: Path) -> None:
    found = read_manifest(bundles / "good").training
    assert found is not None
    moved = replace(found, files={**found.files, "checkpoint": "reference/reference.npz"})
    assert training_problems(bundles / "good", moved) == [
        "reference/reference.npz: is no place for `checkpoint`"
    ]


def test_a_figure_that_is_no_number_fails(repeated: dict[str, Any]) -> None:
    forms = repeated["good"]["forms"]
    broken = {**forms, "onnx": {**forms["onnx"], "losses_difference": math.nan}}
    assert failed({**repeated["good"], "forms": broken}) == {"losses_difference"}
