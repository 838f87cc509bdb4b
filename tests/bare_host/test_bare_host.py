"""The bare host: what a phone has is enough, and what cannot be used is told in a line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bare_environment import PACKAGES, pinned
from bare_run import HOST, call, write_wav
from speech_graph import told

DEFAULTS = (1, 64, 1, 1, 1.0, 1.0)
LISTED = """
from importlib.metadata import distributions
print(*[f"{found.name.replace('_', '-')}=={found.version}" for found in distributions()])
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five samples whose levels sum to 40."""
    return write_wav(tmp_path / "clip.wav", np.array([10, -20, 30, -40, 60], "<i2"))


def test_the_environment_has_three_packages_of_the_lock_and_no_more(bare_python: Path) -> None:
    done = call(bare_python, "-c", LISTED)
    assert sorted(done.stdout.split()) == sorted(pinned()), done.stderr


@pytest.mark.parametrize("name", ["torch", "transformers", "onnx", "tokenizers", "olive_build"])
def test_what_a_phone_has_not_cannot_be_imported(bare_python: Path, name: str) -> None:
    done = call(bare_python, "-c", f"import {name}")
    assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr


def test_the_model_needs_the_extensions(bare_python: Path, speech_models: dict[str, Path]) -> None:
    """Else the test below would prove nothing of them."""
    path = str(speech_models["audio_pcm"])
    done = call(bare_python, "-c", f"import onnxruntime as o; o.InferenceSession({path!r})")
    assert done.returncode
    assert "StringJoin" in done.stderr


def test_samples_and_settings_reach_the_model(
    host: Run, speech_models: dict[str, Path], clip: Path
) -> None:
    done = host(speech_models["audio_pcm"], clip)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == told(5, 40, *DEFAULTS) + "\n"
    names = ("min-length", "max-length", "num-beams", "num-return-sequences")
    asked = (2, 40, 4, 3, 0.6, 1.3)
    words = [
        word
        for name, value in zip((*names, "length-penalty", "repetition-penalty"), asked, strict=True)
        for word in (f"--{name}", str(value))
    ]
    done = host(speech_models["audio_pcm"], clip, *words)
    assert done.stdout == 3 * (told(5, 40, *asked) + "\n"), done.stderr


def test_the_bytes_of_a_file_reach_a_model_that_takes_them(
    host: Run, speech_models: dict[str, Path], tmp_path: Path
) -> None:
    """They need not be a wav file: mp3 and flac are the model's business."""
    file = tmp_path / "clip.mp3"
    file.write_bytes(bytes([255, 1, 2]))
    done = host(speech_models["audio_stream"], file)
    assert done.stdout == told(3, 258, *DEFAULTS) + "\n", done.stderr


def test_channels_are_averaged(host: Run, speech_models: dict[str, Path], tmp_path: Path) -> None:
    left_and_right = np.array([[100, 300], [-20, 40]], "<i2")
    stereo = write_wav(tmp_path / "stereo.wav", left_and_right, channels=2)
    done = host(speech_models["audio_pcm"], stereo)
    assert done.stdout == told(2, 210, *DEFAULTS) + "\n", done.stderr


@pytest.mark.parametrize("length", [0, 1])
def test_the_shortest_clips_are_given_as_they_are(
    host: Run, speech_models: dict[str, Path], tmp_path: Path, length: int
) -> None:
    short = write_wav(tmp_path / "short.wav", np.full(length, 7, "<i2"))
    done = host(speech_models["audio_pcm"], short)
    assert done.stdout == told(length, 7 * length, *DEFAULTS) + "\n", done.stderr


def test_a_file_cut_off_within_a_sample_gives_the_whole_ones(
    host: Run, speech_models: dict[str, Path], clip: Path
) -> None:
    clip.write_bytes(clip.read_bytes()[:-3])
    done = host(speech_models["audio_pcm"], clip)
    assert done.stdout == told(3, 20, *DEFAULTS) + "\n", done.stderr


def unusable(tmp_path: Path) -> dict[str, Path]:
    """Clips that cannot be used, by what is said of them."""
    levels = np.arange(4)
    text = tmp_path / "text.wav"
    text.write_text("no wav file", encoding="utf-8")
    empty = tmp_path / "empty.wav"
    empty.touch()
    return {
        "it has 8000 samples a second; give one of 16000": write_wav(
            tmp_path / "8k.wav", levels.astype("<i2"), rate=8_000
        ),
        "it has 8 bits a sample; give one of 16 bits": write_wav(
            tmp_path / "8bit.wav", levels.astype(np.uint8)
        ),
        "it is no wav file of plain samples: file does not start with RIFF id": text,
        "it is no wav file of plain samples: it ends too early": empty,
        "No such file or directory": tmp_path / "none.wav",
        "Is a directory": tmp_path,
    }


def test_a_clip_that_cannot_be_used_is_told_in_one_line(
    host: Run, speech_models: dict[str, Path], tmp_path: Path
) -> None:
    for why, path in unusable(tmp_path).items():
        done = host(speech_models["audio_pcm"], path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {path}: {why}\n"


def test_a_model_that_cannot_be_used_is_told_in_one_line(
    host: Run, clip: Path, tmp_path: Path, speech_models: dict[str, Path]
) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(speech_models["audio_pcm"].read_bytes()[:100])
    for path, why in ((tmp_path / "none.onnx", "there is no such file"), (damaged, "cannot load")):
        done = host(path, clip)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"error: {path}: ") and why in done.stderr


def test_what_the_runtime_refuses_is_told_in_one_line(
    host: Run, speech_models: dict[str, Path], clip: Path
) -> None:
    done = host(speech_models["audio_pcm"], clip, "--num-return-sequences", "-1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{clip} cannot be transcribed: " in done.stderr


def test_the_host_names_no_other_package() -> None:
    """It runs where only these are; an import of more would be found when it is too late."""
    source = HOST.read_text(encoding="utf-8")
    known = {"numpy", "onnxruntime"}
    imported = {
        line.split()[1].partition(".")[0]
        for line in map(str.strip, source.splitlines())
        if line.startswith(("import ", "from "))
    }
    standard = {"__future__", "argparse", "importlib", "os", "pathlib", "sys", "typing", "wave"}
    assert imported == known | standard
    assert "import onnxruntime_extensions" not in source
    assert known <= set(PACKAGES)
