"""The split bundle in its real clients: transformers.js hears what PyTorch hears."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from olive_build.bundle.layout import CLIENT_SUFFIXES
from olive_build.clients.client_packages import clients_folder, find_chromium, require_clients
from olive_build.clients.javascript_client import ChromiumClient, Request
from olive_build.families.whisper.clips import read_clips
from olive_build.families.whisper.session import DECODER_FILE, ENCODER_FILE, open_files
from olive_build.families.whisper.spec import inspect
from olive_build.proof.reference import read_reference
from olive_build.proof.references.transcription import TranscriptionReference

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "recipes" / "whisper-digits"
WAV = ROOT / "tests" / "families" / "whisper_audio"
DTYPES = ("fp32", "fp16", "q8")
SPEECH = {"language": "en", "task": "transcribe", "input": "audio_pcm"}
CLIPS, WITHOUT_SPEECH = 20, 2
RECIPE = f"""\
recipe: 1
name: digits-in-parts
description: Spoken digits to text in a browser
model:
  family: whisper
  licence: Apache-2.0
  source: path
  sources: {{path: {{folder: model}}}}
export: {{opset: 18}}
speech: {{language: en, task: transcribe, input: audio_pcm}}
verify:
  timing: false
  data: {{file: test.npz}}
  calibration: {{file: calibration.npz}}
  budgets: {{q8: {{wer_loss: 10}}}}  # of few clips; the recipe's own proof has them all
targets:
  web:
    compose: split
    variants: [{", ".join(DTYPES)}]
"""

pytestmark = pytest.mark.skipif(
    clients_folder() is None,
    reason="transformers.js is not installed here; run `make clients`, which needs Node 20 and npm",
)

Samples = npt.NDArray[np.float32]


def few_clips(path: Path) -> None:
    """Write the first clips with speech, and some without; as many as a test may take."""
    clips = read_clips(DIGITS / "test.npz")
    spoken = [row for row, text in enumerate(clips.texts) if text][:CLIPS]
    silent = [row for row, text in enumerate(clips.texts) if not text][:WITHOUT_SPEECH]
    rows = [*spoken, *silent]
    audio = [np.asarray(clips.audio[row]) for row in rows]
    np.savez(
        path,
        audio=np.concatenate(audio),
        lengths=np.array([len(samples) for samples in audio]),
        texts=np.array([clips.texts[row] for row in rows]),
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The web target of the digits' model, as it is published."""
    folder = tmp_path_factory.mktemp("digits")
    recipes = folder / "recipes"
    shutil.copytree(DIGITS / "model", recipes / "model")  # paths of a recipe stay in its repository
    (folder / "pyproject.toml").touch()
    (recipes / "digits-in-parts.yaml").write_text(RECIPE, encoding="utf-8")
    shutil.copy(DIGITS / "calibration.npz", recipes)
    few_clips(recipes / "test.npz")
    recipe, outputs = str(recipes / "digits-in-parts.yaml"), folder / "outputs"
    done = subprocess.run(
        [sys.executable, "-m", "olive_build", "build", recipe, "--outputs", str(outputs)],
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs / "digits-in-parts" / "web"


@pytest.fixture(scope="session")
def reference(bundle: Path) -> TranscriptionReference:
    """The clips that the bundle was proved on, what is said, and PyTorch's texts."""
    found = read_reference(bundle / "reference")
    assert isinstance(found, TranscriptionReference)
    return found


@pytest.fixture(scope="session")
def clips(reference: TranscriptionReference) -> list[Samples]:
    """The proof's clips, one that is longer than the model's window, and next to nothing."""
    spoken = [np.asarray(reference.clips.clip(row)) for row in range(len(reference.truth))]
    return [*spoken, np.concatenate(spoken[:3]), np.zeros(1, np.float32)]


def in_node(bundle: Path, dtype: str, files: list[Path]) -> subprocess.CompletedProcess[str]:
    program = require_clients() / "transcribe.mjs"
    script = ["--preserve-symlinks-main", str(program), str(bundle), dtype]
    options = ["--language", SPEECH["language"], "--task", SPEECH["task"]]
    return subprocess.run(
        ["node", *script, *options, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def heard_in_node(bundle: Path, dtype: str, files: list[Path]) -> list[str]:
    done = in_node(bundle, dtype, files)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["dtype"] == dtype
    texts: list[str] = found["texts"]
    return texts


def heard_in_python(bundle: Path, dtype: str, clips: list[Samples]) -> list[str]:
    suffix = CLIENT_SUFFIXES[dtype]
    session = open_files(
        {name: bundle / "onnx" / f"{name}{suffix}.onnx" for name in (ENCODER_FILE, DECODER_FILE)},
        bundle,
        SPEECH,
        {name: bundle / "reference" / f"{name}.onnx" for name in ("audio", "detokenizer")},
    )
    longest = np.array([inspect(bundle).positions], np.int32)
    sizes = {"max_length": longest, "min_length": np.array([0], np.int32)}
    runs = (session.run(None, {"audio_pcm": clip[None], **sizes}) for clip in clips)
    return [str(texts[0, 0]) for (texts,) in runs]


def stored(clips: list[Samples], folder: Path) -> list[Path]:
    """Return files of raw samples, which nothing rounds."""
    paths = [folder / f"{index}.f32" for index in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        path.write_bytes(clip.astype("<f4").tobytes())
    return paths


@pytest.mark.parametrize("dtype", DTYPES)
def test_node_hears_what_the_proof_s_session_hears(
    bundle: Path, clips: list[Samples], dtype: str, tmp_path: Path
) -> None:
    """So what is proved in Python holds in the client, which prepares sound and text itself."""
    assert len(clips) >= CLIPS
    expected = heard_in_python(bundle, dtype, clips)
    assert heard_in_node(bundle, dtype, stored(clips, tmp_path)) == expected
    assert len(set(expected)) > CLIPS / 4  # they are texts, and not one text


@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed here")
@pytest.mark.parametrize("dtype", ["fp32", "q8"])
def test_chromium_hears_what_the_proof_s_session_hears(
    bundle: Path, clips: list[Samples], dtype: str
) -> None:
    few = clips[:4]
    options = {"language": SPEECH["language"], "task": SPEECH["task"], "do_sample": False}
    requests = [Request(audio=tuple(clip.tolist()), options=options) for clip in few]
    task = "automatic-speech-recognition"
    answer = ChromiumClient().ask(bundle, requests, dtype=dtype, task=task)
    assert answer.dtype == dtype
    texts = [text for result in answer.results for text in result.texts]
    assert texts == heard_in_python(bundle, dtype, few)
    assert any(texts)


def test_fp32_in_node_hears_what_pytorch_s_generate_hears(
    bundle: Path, reference: TranscriptionReference, clips: list[Samples], tmp_path: Path
) -> None:
    proved = clips[: len(reference.texts)]
    found = heard_in_node(bundle, "fp32", stored(proved, tmp_path))
    assert found == list(reference.texts)
    right = sum(text.strip() == said for text, said in zip(found, reference.truth, strict=True))
    assert right > len(found) / 2  # it transcribes: equal nonsense would prove little


def test_a_wav_file_is_read_as_its_samples_are(bundle: Path, tmp_path: Path) -> None:
    """Its header is not sound, and its whole numbers are the samples that Python reads."""
    path = WAV / "eight_nine_three.wav"
    whole = np.frombuffer(path.read_bytes()[44:], "<i2").astype(np.float32) / 32768
    raw = stored([whole], tmp_path)
    text, same = heard_in_node(bundle, "fp32", [path, *raw])
    assert text == same == heard_in_python(bundle, "fp32", [whole])[0] != ""


@pytest.mark.parametrize(
    ("dtype", "file", "reason"),
    [
        ("q9", "eight_nine_three.wav", "has no dtype 'q9'"),
        ("uint8", "eight_nine_three.wav", "encoder_model_uint8.onnx"),
        ("q8", "eight_nine_three_stereo.wav", "2 channels"),
        ("q8", "eight_nine_three_8khz.wav", "8000 Hz"),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(
    bundle: Path, dtype: str, file: str, reason: str
) -> None:
    done = in_node(bundle, dtype, [WAV / file])
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr


def test_half_a_number_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.f32"
    path.write_bytes(b"123")
    done = in_node(bundle, "q8", [path])
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no float32 samples: 3 bytes" in done.stderr
