"""A task of a folder that a program joins is built, proved by transformers and verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from olive_build.families.text_classification.miniature import write_miniature
from tests.extending.test_verb import PROGRAM, TOY

RECIPE = """recipe: 1
name: vowels
description: A toy task
model:
  family: toy-vowels
  licence: MIT
  source: path
  sources: {path: {folder: model}}
verify: {timing: false}
targets: {desktop: {compose: none, variants: [fp32]}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vowels")
    (folder / "recipes" / "model").mkdir(parents=True)
    write_miniature(folder / "recipes" / "model")
    (folder / "recipes" / "vowels.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def test_it_is_built_and_verified(place: Path, shared_cache: Path) -> None:
    def called(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, str(TOY), *words]
        environment = {**os.environ, "OLIVE_BUILD_CACHE": str(shared_cache)}
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=place
        )

    done = called("build", "vowels", "--outputs", "out")
    assert done.returncode == 0, done.stderr
    bundle = place / "out" / "vowels" / "desktop"
    proof = json.loads((bundle / "proof.json").read_text())
    figures = proof["variants"]["fp32"]["quality"]["onnx"]
    assert figures["answer_agreement"] == 1.0 and figures["outputs_difference"] < 1e-4
    assert called("verify", str(bundle)).returncode == 0
    assert "exported by the rung 'plain'" in done.stdout + done.stderr


def test_without_the_folder_nobody_knows_it(place: Path) -> None:
    command = [sys.executable, "-m", "olive_build", "validate", "recipes/vowels.yaml"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=place)
    assert (done.returncode, "toy-vowels" in done.stderr) == (2, True)
