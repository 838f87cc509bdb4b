"""The speaker verifier at the true size of wav2vec2-base, seeded, by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "recipes" / "wav2vec2-speaker-verification.yaml"
TARGETS = ("android", "ios")
MEGABYTE = 1e6
# What making the artifacts may take beside four times the weights.
FIXED_MB, TIMES_WEIGHTS = 600, 4


def write_model(out: Path) -> float:
    """Write wav2vec2-base with seeded weights and 8 speakers; return its MB."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(num_labels=8, use_weighted_layer_sum=True)
    model = transformers.Wav2Vec2ForSequenceClassification(config)
    model.save_pretrained(out)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(out)
    parameters = sum(weight.numel() for weight in model.parameters())
    assert parameters > 94_000_000
    return parameters * 4 / MEGABYTE


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, training_python: Path
) -> tuple[Path, dict[str, Any], float]:
    folder = tmp_path_factory.mktemp("wav2vec2-size")
    recipes = folder / "recipes"
    weights_mb = write_model(recipes / "model")
    (folder / "pyproject.toml").touch()
    (recipes / "base.yaml").write_text(BASE.read_text("utf-8"))
    (recipes / "wav2vec2-size.yaml").write_text(
        "extends: base.yaml\nrecipe: 1\nname: wav2vec2-size\n"
        "description: The speaker verifier with seeded weights\n"
        "model: {source: path, sources: {path: {folder: model}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "build", "wav2vec2-size", "--json", "--jobs", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OLIVE_BUILD_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return folder / "outputs" / "wav2vec2-size", json.loads(done.stdout), weights_mb


def test_both_phones_get_what_the_reference_application_expects(
    built: tuple[Path, dict[str, Any], float],
) -> None:
    for target in TARGETS:
        manifest = json.loads((built[0] / target / "manifest.json").read_text("utf-8"))
        training = manifest["training"]
        (given,) = training["inputs"]
        assert (given["name"], given["type"], given["axes"]) == ("input", "float32", [1, 160_000])
        assert training["outputs"] == ["output"]
        assert training["labels"] == ["other", "owner"]
        assert [item["name"] for item in training["trainable"]] == [
            "classifier.weight",
            "classifier.bias",
        ]
        for role in ("training_model", "eval_model", "optimizer_model"):
            model = onnx.load(built[0] / target / training["files"][role])
            assert model.ir_version <= 10
            assert {o.domain: o.version for o in model.opset_import}.get("", 0) <= 21


def test_every_proof_holds_at_full_size(built: tuple[Path, dict[str, Any], float]) -> None:
    for target in TARGETS:
        proof = json.loads((built[0] / target / "proof.json").read_text("utf-8"))
        found = proof["variants"]["inference"]
        assert found["verdict"] == "passed"
        gates = {gate["figure"]: gate["status"] for gate in found["gates"]}
        assert {
            "losses_difference",
            "gradient_difference",
            "frozen_changed",
            "resume_difference",
            "inference_difference",
        } <= set(gates)
        assert set(gates.values()) == {"passed"}
        assert found["training"]["steps"] == 20


def test_artifacts_are_made_in_little_more_than_the_weights(
    built: tuple[Path, dict[str, Any], float],
) -> None:
    _, said, weights_mb = built
    kinds = ("prepare-training", "artifacts")
    steps = [item for item in said["steps"] if item["slot"].rpartition("/")[2] in kinds]
    assert len(steps) >= 2
    for step in steps:
        assert step["peak_bytes"] / MEGABYTE <= FIXED_MB + TIMES_WEIGHTS * weights_mb, step["slot"]
