"""A folder that transformers saved becomes bundles by the command line, of no known kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers

from olive_build.families.causal_lm.miniature import write_taught

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
recipe: 1
name: writer
description: An architecture that no line of ours names
model:
  family: causal-lm
  licence: Apache-2.0
  source: path
  sources: {path: {folder: model}}
verify:
  timing: false
  data: {file: model/test.jsonl}
  calibration: {file: model/calibration.jsonl}
targets:
  desktop: {compose: none, variants: [fp32, int8]}
  android: {variants: [int8]}
  web: {variants: [fp32, q8, q4f16]}
"""
COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
}
# By model_type: its settings, and how many of its two attentions become one operator.
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "qwen3": ({}, 2),
    "gemma2": ({"sliding_window": 8}, 0),
}


def built(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder` on its recipe."""
    return subprocess.run(
        [sys.executable, "-m", "olive_build", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OLIVE_BUILD_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def prepared(folder: Path, kind: str, **settings: Any) -> Path:
    """Write a model of a kind that was taught a sentence, its tokenizer, data and recipe."""
    model = folder / "recipes" / "model"
    model.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    (folder / "recipes" / "writer.yaml").write_text(RECIPE)
    write_taught(model, lambda **own: transformers.AutoConfig.for_model(kind, **settings, **own))
    return folder


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_saved_folder_becomes_bundles(kind: str, tmp_path: Path) -> None:
    settings, fused = MODELS[kind]
    done = built(prepared(tmp_path, kind, **COMMON, **settings), "build", "writer", "--json")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert {item["target"]: item["status"] for item in said["bundles"]} == dict.fromkeys(
        ("desktop", "android", "web"), "published"
    )
    manifest = tmp_path / "outputs" / "writer" / "desktop" / "manifest.json"
    operators = json.loads(manifest.read_text())["variants"]["fp32"]["operators"]
    assert operators.get("com.microsoft", {}).get("MultiHeadAttention", 0) == fused
    told = "attention can be fused in 0 of 2 layers" in done.stdout
    assert told == (fused == 0)


def test_a_kind_that_the_client_does_not_know_is_told_by_the_plan(tmp_path: Path) -> None:
    done = built(prepared(tmp_path, "biogpt", **COMMON), "plan", "writer")
    assert done.returncode == 3
    assert "transformers.js 4.3.1 knows no model_type 'biogpt'" in done.stderr
