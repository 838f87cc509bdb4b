"""Audio that is too long, empty or none at all: what the one file makes of it, and PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from composed_whisper import RATE, Built, Heard, PyTorch, Samples, compose, spoken, written
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from olive_build.families.whisper.spec import inspect
from olive_build.proof.audio import wav_of

FILES = Path(__file__).resolve().parent / "whisper_audio"
CLIP, SAID = "eight_nine_three", " eight nine three"
WINDOW = 2 * RATE


def long_speech(seconds: float) -> Samples:
    """Clips of the proof one after the other, as long as wanted."""
    joined = np.concatenate([audio for audio, _ in spoken(12)])
    assert len(joined) >= 6 * RATE
    return joined[: round(seconds * RATE)]


def bytes_of(name: str) -> np.ndarray:
    return np.frombuffer((FILES / name).read_bytes(), np.uint8)


@pytest.fixture(scope="module")
def stream(
    built: Built, opened: Callable[[Path], Heard], tmp_path_factory: pytest.TempPathFactory
) -> Heard:
    """The file that takes a sound file's bytes."""
    folder = tmp_path_factory.mktemp("stream")
    source = built.source
    return opened(compose(built.components("fp32"), source, folder, input="audio_stream"))


@pytest.mark.parametrize("seconds", [1.9, 2.0, 2.1, 6])
@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_over_the_window_is_cut(
    fp32: Heard, pytorch: PyTorch, seconds: float, beams: int
) -> None:
    audio, how = long_speech(seconds), {"num_beams": beams}
    texts, ids = fp32(audio, how=how)
    wanted_texts, wanted = pytorch(audio[:WINDOW], how=how)
    end = pytorch.facts.end
    assert (texts, written(ids, end)) == (wanted_texts, written(wanted, end))


def test_what_comes_after_the_window_changes_nothing(fp32: Heard) -> None:
    at_window = fp32(long_speech(2.0))
    assert at_window == fp32(long_speech(2.1)) == fp32(long_speech(6))
    assert at_window != fp32(long_speech(1.0)), "the audio makes no difference"


@pytest.mark.parametrize(
    ("audio", "padded"),
    [
        (np.zeros(WINDOW, np.float32), np.zeros(WINDOW, np.float32)),
        (np.array([0.5], np.float32), np.array([0.5], np.float32)),
        # transformers' extractor cannot take an empty array; padded, it is silence.
        (np.zeros(0, np.float32), np.zeros(1, np.float32)),
    ],
    ids=["silence", "one sample", "empty"],
)
def test_hardly_any_audio_gives_what_pytorch_gives(
    fp32: Heard, pytorch: PyTorch, audio: Samples, padded: Samples
) -> None:
    texts, ids = fp32(audio)
    wanted_texts, wanted = pytorch(padded)
    end = pytorch.facts.end
    assert (texts, written(ids, end)) == (wanted_texts, written(wanted, end))


def test_loud_and_broken_numbers_do_no_harm_to_what_comes_next(fp32: Heard) -> None:
    audio = spoken(1)[0][0]
    before = fp32(audio)
    for bad in (np.float32(1e30), np.float32("nan"), np.float32("inf")):
        fp32(np.full(RATE, bad, np.float32))
    assert fp32(audio) == before


@pytest.mark.parametrize("form", [".wav", ".flac", ".mp3", "_stereo.wav", "_8khz.wav"])
def test_a_file_of_any_form_gives_what_is_said(stream: Heard, form: str) -> None:
    assert stream(bytes_of(f"{CLIP}{form}"))[0] == [SAID]


def test_a_file_without_loss_gives_the_tokens_of_its_samples(stream: Heard, fp32: Heard) -> None:
    for audio, _ in spoken(6):
        wav = wav_of(audio)
        samples = np.frombuffer(wav.tobytes()[44:], "<i2").astype(np.float32) / 32768
        for how in ({"num_beams": 1}, {"num_beams": 4, "num_return_sequences": 2}):
            assert stream(wav, how=how) == fp32(samples.astype(np.float32), how=how)


@pytest.mark.parametrize("seconds", [2.1, 6])
def test_a_long_file_is_cut_as_samples_are(stream: Heard, seconds: float) -> None:
    assert stream(wav_of(long_speech(seconds))) == stream(wav_of(long_speech(2.0)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "Cannot detect audio stream format"),
        (b"\x00", "Cannot detect audio stream format"),
        (b"this is text, not sound" * 100, "Cannot detect audio stream format"),
        (b"RIFF" + bytes(60), "unexpected error on WAV stream"),
        (b"fLaC", "unexpected error on FLAC stream"),
    ],
    ids=["nothing", "one byte", "text", "wav header", "flac header"],
)
def test_other_bytes_are_an_error_in_words_and_the_session_goes_on(
    stream: Heard, data: bytes, said: str
) -> None:
    wav = bytes_of(f"{CLIP}.wav")
    before = stream(wav)
    with pytest.raises(RuntimeException, match=said):
        stream(np.frombuffer(data, np.uint8))
    assert stream(wav) == before


def test_the_window_is_the_models(built: Built) -> None:
    assert inspect(built.source).window == WINDOW
