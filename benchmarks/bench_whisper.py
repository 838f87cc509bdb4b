"""The figures of Whisper in one file: size, speed against transformers, word errors, memory.

The architecture of whisper-tiny at its true size has seeded weights, since what it says does not
matter to its size and speed; whisper-digits, which says something, is there for the words.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import ROOT, Figure, finished, spread, times_faster

DIGITS = "whisper-digits"
TINY = "whisper-tiny-seeded"
MEGABYTE = 1e6
FP32_MB, INT8_MB, INT8_SHARE = 165, 48, 0.30
SPEED, WER_POINTS = 2.0, 1.0
# Peak memory of the cold build: what the libraries take, and four times the fp32 weights.
LIBRARIES_GB, TIMES_WEIGHTS, WEIGHTS_GB = 0.6, 4, 0.1512
SECONDS = 10
SIZES = {
    "d_model": 384,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_ffn_dim": 1536,
    "max_source_positions": 1500,
    "max_target_positions": 448,
}
RECIPE = """recipe: 1
name: {name}
description: The architecture of whisper-tiny at its true size, with seeded weights
model:
  family: whisper
  licence: Apache-2.0
  source: path
  sources:
    path: {{folder: model}}
verify:
  data: {{file: clips.npz}}
  calibration: {{file: calibration.npz}}
  timing: false
  every_variant: {{wer_loss: 100}}
targets:
  desktop:
    variants: [int8, fp32]
"""


def whisper_figures(environment: Mapping[str, str], scratch: Path) -> list[Figure]:
    """Build both models, time the full-size one, and return all figures."""
    outputs = scratch / "whisper"
    recipe = seeded_recipe(scratch / "recipes")
    steps = _build(str(recipe), environment, outputs)
    peak = max(step["peak_bytes"] or 0 for step in steps) / 1e9
    allowed = LIBRARIES_GB + TIMES_WEIGHTS * WEIGHTS_GB
    bundle = outputs / TINY / "desktop"
    sizes = {name: (bundle / name / "model.onnx").stat().st_size for name in ("fp32", "int8")}
    figures = [
        Figure("whisper-tiny fp32 file, MB", sizes["fp32"] / MEGABYTE, FP32_MB, "at most"),
        Figure("whisper-tiny int8 file, MB", sizes["int8"] / MEGABYTE, INT8_MB, "at most"),
        Figure(
            "whisper-tiny int8 / fp32 file",
            sizes["int8"] / sizes["fp32"],
            INT8_SHARE,
            "at most",
        ),
        Figure("whisper-tiny cold build, peak of any step, GB", peak, allowed, "at most"),
    ]
    for name in ("int8", "fp32"):
        path, source = bundle / name / "model.onnx", recipe.parent / "model"
        rows = times_faster(path, "whisper", ("pytorch-audio", source), {SECONDS: ""})
        for (_, threads), ratios in rows.items():
            what = f"whisper-tiny {name}: {SECONDS} s against transformers, {threads} thread(s)"
            median = statistics.median(ratios)
            if name == "int8":
                figures.append(Figure(what, median, SPEED, "at least", spread(ratios)))
            else:
                print(f"{what}: {median:.2f} ({spread(ratios)})")
    return figures + _digits(environment, outputs)


def seeded_recipe(folder: Path) -> Path:
    """Write a recipe with a model of whisper-tiny's size, seeded, below `folder`."""
    import numpy as np
    import torch
    import transformers

    model, digits = folder / "model", ROOT / "recipes" / DIGITS
    model.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = transformers.WhisperConfig.from_pretrained(str(digits / "model")).to_dict()
    whisper = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**{**config, **SIZES})
    )
    whisper.save_pretrained(str(model))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(digits / "model" / name, model / name)
    processor = json.loads((digits / "model" / "processor_config.json").read_text("utf-8"))
    processor["feature_extractor"] |= {
        "chunk_length": 30,
        "n_samples": 480_000,
        "nb_max_frames": 3000,
    }
    (model / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    for name, count, start in (("clips", 2, 0), ("calibration", 1, 2)):
        with np.load(digits / "test.npz", allow_pickle=False) as clips:
            ends = np.cumsum(clips["lengths"])
            first, last = (int(ends[start - 1]) if start else 0), int(ends[start + count - 1])
            np.savez(
                folder / f"{name}.npz",
                audio=clips["audio"][first:last],
                lengths=clips["lengths"][start : start + count],
                texts=clips["texts"][start : start + count],
            )
    path = folder / f"{TINY}.yaml"
    path.write_text(RECIPE.format(name=TINY), encoding="utf-8")
    return path


def _build(recipe: str, environment: Mapping[str, str], outputs: Path) -> list[dict[str, Any]]:
    # Random weights say other words in int8: its bundle is there to be timed, not judged.
    words = ["build", recipe, "--target", "desktop", "--outputs", str(outputs), "--json"]
    words += ["--set", "verify.every_variant.generate_agreement=0"]
    words += ["--set", "verify.every_variant.wer_to_reference=1"]
    words += ["--set", "verify.every_variant.wer_loss=100"]
    steps: list[dict[str, Any]] = json.loads(finished(words, environment))["steps"]
    return steps


def _digits(environment: Mapping[str, str], outputs: Path) -> Sequence[Figure]:
    words = ["build", DIGITS, "--target", "desktop", "--outputs", str(outputs)]
    finished([*words, "--set", "verify.timing=false"], environment)
    proof = json.loads((outputs / DIGITS / "desktop" / "proof.json").read_text("utf-8"))
    quality = {name: item["quality"]["onnx"] for name, item in proof["variants"].items()}
    lost = 100 * (quality["int8"]["wer"] - quality["fp32"]["wer"])
    print(f"whisper-digits: word error rate fp32 {quality['fp32']['wer']:.4f}")
    return [
        Figure("whisper-digits int8: word errors above fp32, points", lost, WER_POINTS, "at most"),
        Figure(
            "whisper-digits fp32: share of decoding cases equal to generate",
            quality["fp32"]["generate_agreement"],
            1.0,
            "at least",
        ),
    ]
