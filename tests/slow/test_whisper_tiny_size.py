"""Whisper tiny at its true size with seeded weights, by the command line: size, text, memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import transformers
from onnx import TensorProto, helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.families.whisper.beam_search import SEQUENCES
from olive_build.families.whisper.generation import features_of, generate, load
from olive_build.families.whisper.spec import inspect
from olive_build.proof.references.transcription import Decoding

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "recipes" / "whisper-digits"
RATE, SECONDS, MEGABYTE = 16_000, 30, 1_000_000
PARAMETERS = 37_760_640
LENGTH = 24
# Wide enough that what is heard decides what is written, and that no two tokens nearly tie.
SPREAD = 0.05
RECIPE = """\
recipe: 1
name: tiny-size
description: The size of whisper-tiny with seeded weights
model:
  family: whisper
  licence: Apache-2.0
  source: path
  sources: {path: {folder: model}}
verify:
  timing: false
  data: {file: proof.npz}
  calibration: {file: calibration.npz}
  budgets:
    # Words of seeded weights mean nothing: int8 writes others.
    int8: {wer_loss: 100}
    q8: {wer_loss: 100}
targets:
  desktop:
    variants: [fp32, int8]
  web:
    variants: [fp32, q8]
"""
Samples = npt.NDArray[np.float32]


def write_model(out: Path) -> None:
    """The configuration of whisper-tiny; its vocabulary is that of whisper-digits."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig.from_pretrained(DIGITS / "model").to_dict()
    sizes = {
        "d_model": 384,
        **dict.fromkeys(("encoder_layers", "decoder_layers"), 4),
        **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 6),
        **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 1536),
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "init_std": SPREAD,
        "dtype": "float32",
    }
    chosen = transformers.WhisperConfig(**{**config, **sizes})
    model = transformers.WhisperForConditionalGeneration(chosen).eval()
    assert sum(weight.numel() for weight in model.parameters()) == PARAMETERS
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(DIGITS / "model" / name, out / name)
    processor = json.loads((DIGITS / "model" / "processor_config.json").read_text())
    processor["feature_extractor"] |= {
        "chunk_length": SECONDS,
        "n_samples": SECONDS * RATE,
        "nb_max_frames": SECONDS * 100,
    }
    (out / "processor_config.json").write_text(json.dumps(processor))


def write_clips(path: Path, seed: int) -> None:
    """Write a clip with more words than seeded weights write, so that none counts, and silence."""
    noise = np.random.default_rng(seed).standard_normal(3 * RATE) * 0.05
    audio = np.concatenate([noise, np.zeros(RATE)]).astype(np.float32)
    np.savez(path, audio=audio, lengths=[3 * RATE, RATE], texts=["zero " * 1000, ""])


@dataclass(frozen=True)
class Bundles:
    """What the command line published and said."""

    folder: Path
    model: Path
    said: dict[str, Any]

    def file(self, target: str, name: str) -> Path:
        return self.folder / "outputs" / "tiny-size" / target / name


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder = tmp_path_factory.mktemp("tiny-size")
    recipes = folder / "recipes"
    (recipes / "model").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    write_model(recipes / "model")
    write_clips(recipes / "proof.npz", 1)
    write_clips(recipes / "calibration.npz", 2)
    (recipes / "tiny-size.yaml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "build", "tiny-size", "--json"],
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
    return Bundles(folder, recipes / "model", json.loads(done.stdout))


def sound(seconds: float) -> Samples:
    """Seeded noise that swells and falls as syllables do, and goes on where shorter sound ends."""
    times = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(95 * RATE)[: len(times)]
    return np.asarray(noise * 0.05 * (1 + np.sin(2 * np.pi * 3 * times)), np.float32)


def test_one_file_is_as_small_as_its_weights(bundles: Bundles) -> None:
    fp32 = bundles.file("desktop", "fp32/model.onnx").stat().st_size
    int8 = bundles.file("desktop", "int8/model.onnx").stat().st_size
    print(f"fp32 {fp32 / MEGABYTE:.1f} MB, int8 {int8 / MEGABYTE:.1f} MB, {int8 / fp32:.3f}")
    assert fp32 <= 165 * MEGABYTE
    assert fp32 <= 1.05 * 4 * PARAMETERS + 2.5 * MEGABYTE
    assert int8 <= 48 * MEGABYTE
    assert int8 <= 0.30 * fp32


def test_a_browsers_files_are_as_small(bundles: Bundles) -> None:
    sizes = {
        path.name: path.stat().st_size / MEGABYTE
        for path in bundles.file("web", "onnx").glob("*.onnx")
    }
    print(sizes)
    fp32 = sizes["encoder_model.onnx"] + sizes["decoder_model_merged.onnx"]
    q8 = sizes["encoder_model_quantized.onnx"] + sizes["decoder_model_merged_quantized.onnx"]
    assert fp32 <= 165 and q8 <= 48 and q8 <= 0.30 * fp32


@pytest.mark.parametrize("beams", [1, 4])
def test_tokens_are_pytorchs_on_audio_cut_at_30_seconds(bundles: Bundles, beams: int) -> None:
    model = onnx.load(str(bundles.file("desktop", "fp32/model.onnx")))
    model.graph.output.append(helper.make_tensor_value_info(SEQUENCES, TensorProto.INT32, None))
    path = bundles.folder / "with_ids.onnx"
    onnx.save(model, str(path))
    session = open_session(path)
    facts, pytorch = inspect(bundles.model), load(bundles.model)
    prompt = facts.prompt("en", "transcribe")
    how = Decoding(max_length=LENGTH, num_beams=beams)
    found = {}
    for seconds in (29, 30, 31, 95):
        audio = sound(seconds)
        (ids,) = session.run([SEQUENCES], {"audio_pcm": audio[None], **how.feeds()})
        found[seconds] = ids[0, 0].tolist()
        features = features_of(bundles.model, audio[: SECONDS * RATE])
        wanted = generate(pytorch, facts, features, prompt, max_length=LENGTH, num_beams=beams)
        assert found[seconds] == wanted.ids[0, len(prompt) - 1 :].tolist()
    assert found[30] == found[31] == found[95]
    assert found[29] != found[30], "what is heard makes no difference, so this proves nothing"


def test_nothing_is_exported_twice(bundles: Bundles) -> None:
    steps = bundles.said["steps"]
    exports = [step["slot"] for step in steps if step["slot"].endswith("/export")]
    assert sorted(exports) == [
        f"tiny-size/{name}/export" for name in ("decoder", "decoder_with_past", "encoder")
    ]
    assert {step["status"] for step in steps} == {"ran"}


def test_no_step_takes_more_memory_than_four_times_the_weights(bundles: Bundles) -> None:
    peaks = {step["slot"]: step["peak_bytes"] / MEGABYTE for step in bundles.said["steps"]}
    for slot, peak in sorted(peaks.items(), key=lambda item: -item[1])[:5]:
        print(f"{peak:6.0f} MB  {slot}")
    assert max(peaks.values()) <= 600 + 4 * 4 * PARAMETERS / MEGABYTE
