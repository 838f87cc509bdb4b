"""A GPT-Neo of 125M seeded weights by the command line: sizes, what is shared, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import transformers

from olive_build.families.causal_lm.miniature import write_miniature
from olive_build.steps.model_check import operators

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000
PARAMETERS = 125_198_592
VOCABULARY, DIMENSIONS = 50_257, 768
FILES = {
    "fp32": "model.onnx",
    "fp16": "model_fp16.onnx",
    "q8": "model_quantized.onnx",
    "q4": "model_q4.onnx",
    "q4f16": "model_q4f16.onnx",
}
# What seeded weights find likely is decided by less than a quantizer's rounding.
RECIPE = """\
recipe: 1
name: neo-size
description: The size of GPT-Neo 125M with seeded weights
model:
  family: causal-lm
  licence: Apache-2.0
  source: path
  sources: {path: {folder: model}}
verify:
  timing: false
  data: {file: model/test.jsonl}
  calibration: {file: model/calibration.jsonl}
  every_variant: {token_agreement: 0, generate_agreement: 0, perplexity_ratio: 2}
targets:
  web:
    variants: [fp32, fp16, q8, q4, q4f16]
"""


def write_model(out: Path) -> None:
    """The configuration of GPT-Neo 125M; its tokenizer is the miniature's."""
    write_miniature(out)
    torch.manual_seed(0)
    config = transformers.GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=DIMENSIONS,
        num_layers=12,
        num_heads=12,
        attention_types=[[["global", "local"], 6]],
        max_position_embeddings=2048,
        window_size=256,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = transformers.GPTNeoForCausalLM(config).eval()
    assert sum(weight.numel() for weight in model.parameters()) == PARAMETERS
    model.save_pretrained(out)


@dataclass(frozen=True)
class Bundle:
    """The web bundle that the command line published, and what it said."""

    folder: Path
    said: dict[str, Any]

    def file(self, variant: str) -> Path:
        return self.folder / "onnx" / FILES[variant]

    def size(self, variant: str) -> int:
        return self.file(variant).stat().st_size


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("neo-size")
    recipes = folder / "recipes"
    (recipes / "model").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    write_model(recipes / "model")
    (recipes / "neo-size.yaml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "build", "neo-size", "--json", "--jobs", "1"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OLIVE_BUILD_CACHE": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return Bundle(folder / "outputs" / "neo-size" / "web", json.loads(done.stdout))


def test_every_tensor_is_stored_once(bundle: Bundle) -> None:
    sizes = {name: bundle.size(name) for name in FILES}
    print(
        {
            name: f"{size / MEGABYTE:.1f} MB, {size / sizes['fp32']:.3f}"
            for name, size in sizes.items()
        }
    )
    assert sizes["fp32"] <= 1.05 * 4 * PARAMETERS
    assert sizes["fp16"] <= 0.525 * 4 * PARAMETERS
    assert sizes["q8"] <= 0.28 * sizes["fp32"]
    assert sizes["q4"] <= 0.17 * sizes["fp32"]
    assert sizes["q4f16"] <= 0.17 * sizes["fp32"]


def test_no_file_has_a_second_table_of_words(bundle: Bundle) -> None:
    for name in FILES:
        model = onnx.load(str(bundle.file(name)))
        tables = [
            t.name for t in model.graph.initializer if VOCABULARY in t.dims and len(t.dims) > 1
        ]
        large = [n for n in tables if _count(model, n) > VOCABULARY * DIMENSIONS // 8]
        assert len(large) == 1, (name, large)
        assert not {"QAttention", "QOrderedMatMul"} & set(operators(model))


def _count(model: onnx.ModelProto, name: str) -> int:
    return next(len(t.raw_data) for t in model.graph.initializer if t.name == name)


def test_no_step_takes_more_memory_than_five_times_the_weights(bundle: Bundle) -> None:
    peaks = {step["slot"]: step["peak_bytes"] / MEGABYTE for step in bundle.said["steps"]}
    for slot, peak in sorted(peaks.items(), key=lambda item: -item[1])[:8]:
        print(f"{peak:6.0f} MB  {slot}")
    assert max(peaks.values()) <= 600 + 5 * 4 * PARAMETERS / MEGABYTE
