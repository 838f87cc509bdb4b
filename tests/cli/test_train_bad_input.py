"""Whatever is wrong with a bundle, its data or an output is said, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_training import (
    LABELS,
    ROOT,
    Tiny,
    read_manifest,
    write_bundle,
    write_images,
    write_manifest,
)

Manifest = dict[str, Any]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_bundle(folder / "free")
    write_bundle(folder / "fixed", Tiny(batch=4))
    write_images(folder / "images", (5, 5, 5))
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    for name in ("free", "fixed", "images"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def refused(folder: Path, code: int, *words: str) -> str:
    """Train, which must end with this code, leave nothing behind, and say why; return that."""
    before = sorted(path for path in folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "train", *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "to fix:" in done.stderr or "because:" in done.stderr
    assert sorted(path for path in folder.rglob("*")) == before
    return done.stderr


def changed(bundle: Path, change: Callable[[Manifest], Any]) -> None:
    manifest = read_manifest(bundle)
    change(manifest)
    write_manifest(bundle, manifest)


def moved(manifest: Manifest, path: str) -> None:
    """Name another place for the checkpoint, in the list of files too."""
    (entry,) = [item for item in manifest["files"] if item["path"] == "training/checkpoint"]
    entry["path"] = manifest["training"]["files"]["checkpoint"] = path


@pytest.mark.parametrize(
    ("code", "change", "told"),
    [
        (2, lambda m: m.pop("training"), "this bundle cannot be trained"),
        (6, lambda m: m.update(manifest_version=99), "the manifest's version is 99"),
        (6, lambda m: m["training"].pop("loss"), "training: `loss` is missing"),
        (6, lambda m: m["training"]["files"].clear(), "training: it names no checkpoint"),
        (6, lambda m: m.update(variants={}), "it names no variant"),
        (6, lambda m: m.update(files=[{}]), "files[0]: `path` is missing"),
        (6, lambda m: m.update(files=[]), "checkpoint: not listed, but used for training"),
        (
            6,
            lambda m: m["files"][-1].update(sha256="0" * 64),
            "training_model.onnx: its bytes were",
        ),
        (6, lambda m: m["files"][-1].update(size_bytes=1), "training_model.onnx: has"),
        (6, lambda m: m.update(recipe="../escaped"), "recipe: it is not allowed"),
        (6, lambda m: m.update(recipe="/tmp/escaped"), "recipe: it is not allowed"),
        (6, lambda m: m.update(target="a/../../b"), "target: it is not allowed"),
        (6, lambda m: moved(m, "../fixed/training/checkpoint"), "begins at the bundle's folder"),
        (6, lambda m: m["model"].update(family="os"), "there is no family 'os' that trains"),
        (6, lambda m: m["training"].update(batch_size=0), "training.batch_size: 0 is less than 1"),
    ],
)
def test_a_manifest_that_is_no_good(
    work: Path, code: int, change: Callable[[Manifest], Any], told: str
) -> None:
    changed(work / "free", change)
    assert told in refused(work, code, "free", "--data", "images")


def test_graphs_of_the_ort_form_alone(work: Path) -> None:
    """Nothing could be exported from them."""

    def only_ort(manifest: Manifest) -> None:
        files = manifest["training"]["files"]
        for role in ("training_model", "eval_model", "optimizer_model"):
            files[f"{role}_ort"] = files.pop(role).replace(".onnx", ".ort")

    changed(work / "free", only_ort)
    told = refused(work, 2, "free", "--data", "images")
    assert "its graphs in the ORT form alone" in told
    assert "formats: [onnx, ort]" in told


def test_what_is_no_bundle(work: Path) -> None:
    assert "this is no bundle" in refused(work, 6, "nowhere", "--data", "images")
    assert "this is no bundle" in refused(work, 6, "images", "--data", "images")
    (work / "free" / "manifest.json").write_text("{", encoding="utf-8")
    assert "manifest.json cannot be read" in refused(work, 6, "free", "--data", "images")


def test_a_file_that_is_missing(work: Path) -> None:
    (work / "free" / "training" / "checkpoint").unlink()
    assert "checkpoint: missing" in refused(work, 6, "free", "--data", "images")


def test_a_pipe_in_the_bundle_is_not_waited_for(work: Path) -> None:
    os.mkfifo(work / "free" / "pipe")
    told = refused(work, 6, "free", "--data", "images")
    assert "the bundle holds what is no plain file" in told
    assert "pipe: it is a pipe" in told


def test_data_that_cannot_be_learned_from(work: Path) -> None:
    told = refused(work, 2, "free", "--data", "nowhere")
    assert "the folder with examples does not exist" in told
    shutil.rmtree(work / "images" / "dot")
    shutil.rmtree(work / "images" / "ring")
    told = refused(work, 2, "free", "--data", "images")
    assert "the examples are all of one class" in told
    (work / "images" / "bars").mkdir()
    shutil.copy(work / "images" / "bar" / "000.pgm", work / "images" / "bars" / "000.pgm")
    told = refused(work, 2, "free", "--data", "images")
    assert "the bundle has no class 'bars'" in told
    assert "did you mean 'bar'?" in told


def test_an_output_in_the_bundle_or_among_other_files(work: Path) -> None:
    arguments = ("free", "--data", "images", "--output")
    assert "would lie inside the bundle" in refused(work, 2, *arguments, "free/trained")
    assert "would lie inside the bundle" in refused(work, 2, *arguments, "free")
    told = refused(work, 2, *arguments, "images")
    assert "the output folder is not empty" in told
    assert "it holds bar, dot, ring" in told
    (work / "a-file").touch()
    assert "the output is no folder" in refused(work, 2, *arguments, "a-file")
    assert "the output cannot be written" in refused(work, 2, *arguments, "a-file/trained")
    (work / "somebodys").mkdir()
    (work / "somebodys" / "training.json").write_text("{}", encoding="utf-8")
    assert "no training.json of ours" in refused(work, 2, *arguments, "somebodys")


def test_a_checkpoint_that_is_not_there_or_of_another_bundle(work: Path) -> None:
    arguments = ("free", "--data", "images", "--resume")
    assert "there is no such checkpoint" in refused(work, 2, *arguments, "nowhere")
    (work / "junk").write_bytes(b"no checkpoint")
    assert "cannot load junk" in refused(work, 4, *arguments, "junk")
    (work / "other").mkdir()
    shutil.copy(work / "free" / "training" / "checkpoint", work / "other" / "checkpoint")
    record = {
        "training_version": 1,
        "bundle": {"recipe": "voices", "target": "ios", "graphs": {}},
        "settings": {
            "epochs": 1, "batch_size": 1, "learning_rate": 0.1, "seed": 0, "hold_out": 0.2,
        },
        "history": {"losses": [], "ends": [], "judged": []},
        "epochs_planned": 1,
        "data": {"digest": ""},
    }  # fmt: skip
    path = work / "other" / "training.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    told = refused(work, 2, *arguments, "other/checkpoint")
    assert "the checkpoint belongs to another bundle" in told
    assert "trained with voices for ios" in told
    path.write_text(json.dumps({**record, "settings": {}}), encoding="utf-8")
    told = refused(work, 2, *arguments, "other/checkpoint")
    assert "the training.json beside the checkpoint is damaged" in told


def test_a_batch_that_is_fixed(work: Path) -> None:
    told = refused(work, 2, "fixed", "--data", "images", "--batch-size", "8")
    assert "the bundle's graphs do not take batches of 8" in told
    assert "its recipe fixed the batch at 4" in told
    for label in LABELS:
        for number in range(1, 5):
            (work / "images" / label / f"{number:03}.pgm").unlink()
    told = refused(work, 2, "fixed", "--data", "images")
    assert "3 examples are too few to train with" in told


def test_numbers_that_overflow_name_the_step(work: Path) -> None:
    changed(work / "free", lambda m: m["training"]["data"].update(rescale=1e38))
    told = refused(work, 4, "free", "--data", "images")
    assert "the loss is nan at step 1" in told
    assert "epoch 1, with a learning rate of 0.01" in told
    assert "--learning-rate 0.001" in told


def test_a_graph_that_does_not_load(work: Path) -> None:
    """Its bytes are those of the manifest: it is the bundle that is wrong."""
    path = work / "free" / "training" / "training_model.onnx"
    path.write_bytes(b"no graph")
    entry = {"sha256": hashlib.sha256(b"no graph").hexdigest(), "size_bytes": 8}
    changed(work / "free", lambda m: m["files"][-1].update(entry))
    told = refused(work, 4, "free", "--data", "images")
    assert "cannot load training_model.onnx" in told


@pytest.mark.parametrize(
    "words",
    [
        ("--epochs", "0"),
        ("--batch-size", "0"),
        ("--learning-rate", "0"),
        ("--learning-rate", "nan"),
        ("--hold-out", "1"),
        ("--hold-out", "nan"),
        ("--seed", "-1"),
    ],
)
def test_a_number_that_makes_no_sense(work: Path, words: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "train", "free", "--data", "images", *words],
        cwd=work,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words[0] in done.stderr
