"""The built single files transcribe where only onnxruntime, its extensions and numpy are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bare_run import write_wav

from olive_build.families.whisper.clips import read_clips

CLIPS = Path(__file__).resolve().parents[2] / "recipes" / "whisper-digits" / "test.npz"
SPOKEN = 20
# The model errs on 2 clips of 100.
LEAST_RIGHT = 17
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_every_variant_writes_what_is_said(
    host: Run, built_models: dict[str, Path], tmp_path: Path
) -> None:
    clips = read_clips(CLIPS)
    said = [(audio, text) for audio, text in zip(clips.audio, clips.texts, strict=True) if text]
    for name, model in built_models.items():
        right = 0
        for audio, text in said[:: max(1, len(said) // SPOKEN)][:SPOKEN]:
            levels = np.clip(np.round(audio * 32768), -32768, 32767).astype("<i2")
            done = host(model, write_wav(tmp_path / "clip.wav", levels))
            assert done.returncode == 0, done.stderr
            right += done.stdout.lower().split() == text.lower().split()
        assert right >= LEAST_RIGHT, name


def test_each_returned_text_is_a_line_and_the_best_is_first(
    host: Run, built_models: dict[str, Path], tmp_path: Path
) -> None:
    """Texts of several hypotheses must not run into one another."""
    clips = read_clips(CLIPS)
    audio = next(audio for audio, text in zip(clips.audio, clips.texts, strict=True) if " " in text)
    levels = np.clip(np.round(audio * 32768), -32768, 32767).astype("<i2")
    clip = write_wav(tmp_path / "clip.wav", levels)
    for model in built_models.values():
        (best,) = host(model, clip, "--num-beams", "4").stdout.splitlines()
        done = host(model, clip, "--num-beams", "4", "--num-return-sequences", "3")
        texts = done.stdout.splitlines()
        assert len(texts) == len(set(texts)) == 3, done.stderr
        assert texts[0] == best
