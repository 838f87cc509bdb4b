"""The shipped speaker model: from the recipe to the artifacts that a phone learns with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.engine.trees import sha256_of

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("android", "web")


def call(cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(cache), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, training_python: Path) -> Path:
    assert training_python.is_file()
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def said(cache: Path, outputs: Path) -> str:
    words = [word for name in TARGETS for word in ("--target", name)]
    done = call(cache, "build", "my-voice", *words, "--outputs", str(outputs))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def bundles(said: str, outputs: Path) -> Path:
    assert said
    return outputs / "my-voice"


def read(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_owners_are_told_from_voices_that_were_never_heard(bundles: Path, target: str) -> None:
    proof = read(bundles / target, "proof.json")["variants"]["inference"]
    personalised = proof["training"]["personalised"]
    assert len(personalised["owners"]) >= 4
    for found in personalised["owners"].values():
        assert found["owners"] >= 40
        assert found["impostors"] >= 400
        assert found["loss"][1] < found["loss"][0]
    assert personalised["clips_of_an_owner"] <= 8
    assert personalised["pooled"]["rate"] <= 0.05
    assert personalised["pooled"]["low"] < personalised["pooled"]["rate"]


def test_the_interval_is_printed(said: str, bundles: Path) -> None:
    proof = read(bundles / "android", "proof.json")["variants"]["inference"]
    pooled = proof["training"]["personalised"]["pooled"]
    shown = f"EER {pooled['rate']:.1%} ({pooled['low']:.1%} to {pooled['high']:.1%})"
    assert all(word in said for word in shown.split())  # its cell is wrapped


@pytest.mark.parametrize("target", TARGETS)
def test_every_gate_is_there_and_passed(bundles: Path, target: str) -> None:
    proof = read(bundles / target, "proof.json")["variants"]["inference"]
    gates = {gate["figure"]: gate for gate in proof["gates"]}
    expected = {
        *("logits_difference", "losses_difference", "gradient_difference", "frozen_changed"),
        *("parameters_difference", "optimizer_difference", "trained_difference"),
        *("eval_difference", "eval_loss_difference", "free_difference", "start_difference"),
        *("resume_difference", "inference_difference", "nominal_difference", "equal_error_rate"),
        *("refused_at_margin", "let_in_at_margin"),
    }
    assert set(gates) == expected | ({"ort_difference"} if target == "android" else set())
    assert {gate["status"] for gate in gates.values()} == {"passed"}
    assert proof["training"]["cost"]["milliseconds_per_step"] > 0
    assert 20e6 < proof["training"]["cost"]["peak_bytes"] < 200e6


def test_the_manifest_says_what_an_application_must_know(bundles: Path) -> None:
    manifest = read(bundles / "android", "manifest.json")
    training = manifest["training"]
    assert [item["name"] for item in training["inputs"]] == ["input"]
    assert training["target"]["name"] == "labels"
    assert training["labels"] == ["other", "owner"]
    assert training["optimizer"]["lr"] == 0.0001
    assert training["trainable_values"] == 128 * 128 + 128 + 2 * 128 + 2
    listed = {item["path"] for item in manifest["files"]}
    assert set(training["files"].values()) <= listed
    assert manifest["tools"]["onnxruntime-training-cpu"] == "1.19.2"
    (package,) = manifest["runtime"]["packages"]
    assert package["name"].endswith("onnxruntime-training-android")


def test_the_inference_model_runs_in_the_current_onnxruntime(bundles: Path) -> None:
    folder = bundles / "android"
    session = open_session(
        folder / read(folder, "manifest.json")["variants"]["inference"]["files"]["onnx"]
    )
    clips = np.random.default_rng(0).standard_normal((3, 16000)).astype("f4")
    (logits,) = run_named(session, {"input": clips})
    assert logits.shape == (3, 2)
    assert not logits.any()  # the head begins at zero: nothing is known of an owner yet


def test_verify_reads_every_byte(cache: Path, bundles: Path, tmp_path: Path) -> None:
    done = call(cache, "verify", str(bundles / "android"), str(bundles / "web"))
    assert done.returncode == 0, done.stdout + done.stderr
    copy = tmp_path / "android"
    shutil.copytree(bundles / "android", copy)
    checkpoint = copy / "training" / "checkpoint"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(bytes(content))
    done = call(cache, "verify", str(copy))
    assert done.returncode == 6
    assert "training/checkpoint: its bytes were changed" in done.stderr


def test_a_rate_that_is_too_high_is_not_published(
    cache: Path, bundles: Path, tmp_path: Path
) -> None:
    assert bundles
    limit = "train.personalisation.equal_error_rate=0.001"
    words = ("--target", "android", "--outputs", str(tmp_path), "--set", limit)
    done = call(cache, "build", "my-voice", *words)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "equal_error_rate" in done.stderr
    assert "at most 0.001: failed" in done.stderr
    assert not (tmp_path / "my-voice" / "android" / "manifest.json").exists()


def test_the_same_recipe_gives_the_same_bytes(
    bundles: Path, tmp_path: Path, training_python: Path
) -> None:
    words = ("--target", "web", "--outputs", str(tmp_path))
    done = call(tmp_path / "cache", "build", "my-voice", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "manifest.json",
        "README.md",
        "training/checkpoint",
        "training/training_model.onnx",
    ):
        assert sha256_of(tmp_path / "my-voice" / "web" / name) == sha256_of(bundles / "web" / name)
