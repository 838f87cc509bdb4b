"""Audio in the graph against transformers' feature extractor, and every kind of file."""

from __future__ import annotations

import dataclasses
import functools
import struct
import wave
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException
from transformers import WhisperFeatureExtractor

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import StepError
from olive_build.families.whisper.audio import FEATURES, MIN_OPSET, PCM, STREAM, audio_graph
from olive_build.families.whisper.spec import WhisperFacts, inspect

MODEL = Path(__file__).resolve().parents[2] / "recipes" / "whisper-digits" / "model"
CLIPS = Path(__file__).resolve().parent / "whisper_audio"
CLIP = "eight_nine_three"
OPSET = 18
EXACT = 1e-4
Samples = npt.NDArray[np.float32]


def variant(seconds: int = 2, bins: int = 80) -> WhisperFacts:
    facts = inspect(MODEL)
    return dataclasses.replace(facts, window=seconds * facts.sampling_rate, mel_bins=bins)


@functools.cache
def session(
    folder: Path,
    takes: Literal["audio_pcm", "audio_stream"],
    seconds: int = 2,
    bins: int = 80,
    opset: int = OPSET,
) -> Any:
    """The graph, with the samples as a second output."""
    model = audio_graph(variant(seconds, bins), opset, takes)
    onnx.checker.check_model(model)
    if takes == STREAM:
        samples = helper.make_tensor_value_info("audio/samples", TensorProto.FLOAT, [1, None])
        model.graph.output.append(samples)
    path = folder / f"{takes}-{seconds}-{bins}-{opset}.onnx"
    onnx.save(model, path)
    return open_session(path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whisper_audio")


@functools.cache
def extractor(seconds: int, bins: int) -> Any:
    return WhisperFeatureExtractor(feature_size=bins, chunk_length=seconds)


def reference(samples: Samples, seconds: int = 2, bins: int = 80) -> Samples:
    extract = extractor(seconds, bins)
    # It cannot take an empty array; padded, that would be silence.
    given = samples if len(samples) else np.zeros(1, np.float32)
    found = extract(given, sampling_rate=16000, return_tensors="np")[FEATURES]
    return np.asarray(found, np.float32)


def from_pcm(folder: Path, samples: Samples, **options: int) -> Samples:
    found = session(folder, PCM, **options).run(None, {PCM: samples[None]})[0]
    return np.asarray(found, np.float32)


def from_file(folder: Path, data: bytes) -> tuple[Samples, Samples]:
    """The features and the samples of a file."""
    stream = np.frombuffer(data, np.uint8)[None]
    features, samples = session(folder, STREAM).run(None, {STREAM: stream})
    assert np.isfinite(features).all()
    return features, samples[0]


def clip(ending: str) -> bytes:
    return (CLIPS / f"{CLIP}{ending}").read_bytes()


def stored(path: Path) -> npt.NDArray[np.int16]:
    """The samples of a 16-bit wav, int16 [samples, channels]."""
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return data.reshape(-1, file.getnchannels())


def speech() -> Samples:
    return (stored(CLIPS / f"{CLIP}.wav")[:, 0] / np.float32(32768)).astype(np.float32)


def wav(samples: npt.NDArray[Any], rate: int, channels: int = 1, ahead: bytes = b"") -> bytes:
    """A wav file of int16 samples, with other chunks `ahead` of its format."""
    data = np.asarray(samples, "<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    chunks = b"WAVE" + ahead + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def tone(hertz: float, rate: int, seconds: float) -> Samples:
    time = np.arange(int(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def signals(seconds: int) -> dict[str, Samples]:
    window = seconds * 16000
    random = np.random.default_rng(0)
    return {
        "speech": np.resize(speech(), window),
        "quiet speech": np.resize(speech(), window) * np.float32(1e-3),
        "noise": (random.standard_normal(window) * 0.1).astype(np.float32),
        "silence": np.zeros(window, np.float32),
        "sine": tone(440, 16000, seconds),
        "constant": np.full(window, 0.3, np.float32),
        "click": np.eye(1, window, dtype=np.float32)[0],
        "last click": np.eye(1, window, window - 1, dtype=np.float32)[0],
    }


@pytest.mark.parametrize(("seconds", "bins"), [(2, 80), (30, 80), (30, 128)])
def test_features_are_those_of_transformers(folder: Path, seconds: int, bins: int) -> None:
    for name, samples in signals(seconds).items():
        found = from_pcm(folder, samples, seconds=seconds, bins=bins)
        wanted = reference(samples, seconds, bins)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= EXACT, name


@pytest.mark.parametrize("opset", range(MIN_OPSET, 22))
@pytest.mark.parametrize("length", [0, 1, 2, 159, 12_345, 31_999, 32_000, 32_001, 96_000])
def test_any_length_is_filled_up_or_cut(folder: Path, length: int, opset: int) -> None:
    samples = np.resize(speech(), length)
    found = from_pcm(folder, samples, opset=opset)
    assert np.abs(found - reference(samples)).max() <= EXACT


def test_audio_after_the_window_changes_nothing(folder: Path) -> None:
    samples = np.resize(speech(), 96_000)
    loud_later = np.concatenate([samples[:32_000], np.ones(64_000, np.float32)])
    np.testing.assert_array_equal(from_pcm(folder, loud_later), from_pcm(folder, samples[:32_000]))


def test_the_graph_is_small_named_and_reproducible() -> None:
    for takes in (PCM, STREAM):
        model = audio_graph(variant(30), OPSET, takes)
        assert model.ByteSize() < 800_000
        assert (
            model.SerializeToString() == audio_graph(variant(30), OPSET, takes).SerializeToString()
        )
        graph = model.graph
        inner = [node for node in graph.node if node.op_type == "If"]
        branches = [attribute.g for node in inner for attribute in node.attribute]
        nodes = [*graph.node, *(node for branch in branches for node in branch.node)]
        outputs = [name for node in nodes for name in node.output if name != FEATURES]
        names = [*(node.name for node in nodes), *(value.name for value in graph.initializer)]
        assert all(name.startswith("audio/") for name in [*names, *outputs])
        assert len({node.name for node in nodes}) == len(nodes)
        assert model.ir_version == 10


def test_an_old_opset_is_refused() -> None:
    with pytest.raises(StepError, match="opset 16"):
        audio_graph(variant(), 16, PCM)


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_files_without_loss_are_as_their_samples(folder: Path, ending: str) -> None:
    features, samples = from_file(folder, clip(ending))
    np.testing.assert_array_equal(samples, speech())
    np.testing.assert_array_equal(features, from_pcm(folder, speech()))


def similarity(found: Samples, wanted: Samples, shifts: range) -> float:
    """The highest correlation with `wanted`, some samples later."""
    parts = (found[shift : shift + len(wanted)] for shift in shifts)
    return max(
        float(np.corrcoef(part, wanted[: len(part)])[0, 1]) for part in parts if len(part) > 1000
    )


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)])
def test_an_mp3_is_read_with_a_tag_and_without(folder: Path, tag: bytes) -> None:
    data = clip(".mp3")
    if data.startswith(b"ID3"):
        sizes = data[6:10]
        data = data[10 + sum(size << 7 * (3 - place) for place, size in enumerate(sizes)) :]
    _, samples = from_file(folder, tag + data)
    # An encoder of mp3 puts one or two frames' worth of silence in front.
    assert similarity(samples, speech(), range(2500)) > 0.98


def test_two_channels_become_their_mean(folder: Path) -> None:
    both = stored(CLIPS / f"{CLIP}_stereo.wav") / np.float32(32768)
    assert both.shape[1] == 2 and (both[:, 0] != both[:, 1]).any()
    _, samples = from_file(folder, clip("_stereo.wav"))
    np.testing.assert_array_equal(samples, both.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("channels", [3, 6])
def test_more_channels_are_refused_in_words(folder: Path, channels: int) -> None:
    with pytest.raises(Exception, match="more than two channels"):
        from_file(folder, wav(np.arange(600), 16000, channels))


def test_half_the_rate_keeps_what_it_can_hold(folder: Path) -> None:
    features, samples = from_file(folder, clip("_8khz.wav"))
    whole = from_pcm(folder, speech())
    assert abs(len(samples) - len(speech())) <= 2
    # The lower half of the bands ends at 1.7 kHz, where a file of 8 kHz has everything.
    assert np.abs(features - whole)[0, :40].mean() < 0.02
    # What was never recorded stays as quiet as can be, not a mirror of what was.
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    above = int(len(spectrum) * 4200 / 8000)
    assert spectrum[above:].sum() < 1e-5 * spectrum.sum()


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 15975])
@pytest.mark.parametrize("hertz", [100, 997, 3000])
def test_a_low_rate_is_raised_exactly(folder: Path, rate: int, hertz: int) -> None:
    given = tone(hertz, rate, 1.5)
    _, samples = from_file(folder, wav(np.round(given * 32767), rate))
    wanted = tone(hertz, 16000, 1.5)
    assert abs(len(samples) - len(wanted)) <= 2
    middle = slice(200, 23_500)
    assert np.abs(samples[middle] - wanted[middle]).max() < 2e-3


def test_a_long_file_of_a_low_rate_is_cut(folder: Path) -> None:
    given = np.round(tone(440, 8000, 40) * 32767)
    features, samples = from_file(folder, wav(given, 8000))
    assert len(samples) < 34_000
    short, _ = from_file(folder, wav(given[:20_000], 8000))
    np.testing.assert_array_equal(features, short)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_a_high_rate_is_lowered(folder: Path, rate: int) -> None:
    _, samples = from_file(folder, wav(np.round(tone(1000, rate, 1) * 32767), rate))
    assert abs(len(samples) - 16_000) <= 1
    loudest = int(np.abs(np.fft.rfft(samples[:16_000])).argmax())
    assert loudest == pytest.approx(1000, abs=1)


def test_chunks_may_stand_before_a_files_format(folder: Path) -> None:
    given = np.round(tone(440, 8000, 1) * 32767)
    junk = b"JUNK" + struct.pack("<I", 28) + bytes(28)
    np.testing.assert_array_equal(
        from_file(folder, wav(given, 8000, ahead=junk))[0], from_file(folder, wav(given, 8000))[0]
    )


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("samples", [[], [0], [900], [900, -900]])
def test_files_of_hardly_any_samples_are_read(folder: Path, rate: int, samples: list[int]) -> None:
    features, _ = from_file(folder, wav(np.array(samples), rate))
    if not any(samples):
        np.testing.assert_allclose(features, reference(np.zeros(1, np.float32)), atol=1e-6)


@pytest.mark.parametrize("data", [b"", b"x", b"no audio at all" * 9, b"\xff", bytes(5000)])
def test_other_bytes_are_refused_in_words(folder: Path, data: bytes) -> None:
    with pytest.raises(Exception, match="Cannot detect audio stream format"):
        from_file(folder, data)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
def test_a_header_with_nothing_is_refused_in_words(folder: Path, kind: str) -> None:
    start = {"WAV": b"RIFF", "FLAC": b"fLaC", "MP3": b"\xff\xfb\x90\x00"}[kind]
    with pytest.raises(Exception, match=f"unexpected error on {kind} stream"):
        from_file(folder, start + bytes(200))


def test_a_file_that_ends_too_early_gives_what_is_there(folder: Path) -> None:
    _, samples = from_file(folder, clip(".wav")[:10_044])
    np.testing.assert_array_equal(samples, speech()[:5000])


def test_damaged_files_give_features_or_an_error(folder: Path) -> None:
    random = np.random.default_rng(0)
    endings = (".wav", ".mp3", ".flac", "_8khz.wav", "_stereo.wav")
    read, reasons = 0, set()
    for number in range(300):
        data = bytearray(clip(endings[number % len(endings)]))
        for place in random.integers(0, 60 if number % 2 else len(data), 4):
            data[place] = random.integers(256)
        cut = bytes(data[: random.integers(len(data) // 2, len(data))])
        stream = np.frombuffer(cut, np.uint8)[None]
        try:
            features, _ = session(folder, STREAM).run(None, {STREAM: stream})
        except RuntimeException as error:
            reasons.add(str(error).partition("[AudioDecoder]: ")[2])
        else:
            read += int(np.isfinite(features).all())
    assert all(reasons)
    assert read > 100


def frame(version: int, rate: int) -> bytes:
    """The header of an mp3's frame, by its version of MPEG and the index of its rate."""
    return bytes([0xFF, 0xE3 | version << 3, 0x50 | rate << 2, 0]) + bytes(40)


def flac(rate: int) -> bytes:
    sizes = struct.pack(">HH", 4096, 4096) + bytes(6)
    return b"fLaC\x80\0\0\x22" + sizes + struct.pack(">Q", rate << 44 | 15 << 36 | 1000)


HEADERS = [
    (wav(np.zeros(9), 8000), 8000),
    (wav(np.zeros(9), 44100), 44100),
    (wav(np.zeros(9), 192_000), 192_000),
    (b"RIFF" + bytes(5000), 0),
    (flac(8000), 8000),
    (flac(44100), 44100),
    (flac(655_350), 655_350),
    (frame(0, 2), 8000),
    (frame(0, 0), 11025),
    (frame(0, 1), 12000),
    (frame(2, 2), 16000),
    (frame(2, 0), 22050),
    (frame(3, 0), 44100),
    (frame(3, 1), 48000),
    (frame(1, 1), 0),
    (b"ID3\x04\x00\x00\x00\x00\x28\x00" + bytes(40 << 7) + frame(0, 2), 8000),
    (b"ID3\x04\x00\x00\x00\x00\x28\x00", 0),
    (b"", 0),
]


@pytest.mark.parametrize(("data", "rate"), HEADERS, ids=range(len(HEADERS)))
def test_the_rate_is_what_the_header_says(tmp_path: Path, data: bytes, rate: int) -> None:
    model = audio_graph(variant(), OPSET, STREAM)
    last = next(
        place for place, node in enumerate(model.graph.node) if "audio/file_rate" in node.output
    )
    del model.graph.node[last + 1 :], model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("audio/file_rate", TensorProto.INT64, [1])
    )
    onnx.save(model, tmp_path / "rate.onnx")
    stream = np.frombuffer(data, np.uint8)[None]
    found = open_session(tmp_path / "rate.onnx").run(None, {STREAM: stream})
    assert found[0].tolist() == [rate]


def test_the_fourier_matrix_is_without_the_bins_that_weigh_nothing() -> None:
    model = audio_graph(variant(), OPSET, PCM)
    tensors = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    assert tensors["audio/fourier"].shape == (2 * 199, 1, 400)
    assert tensors["audio/mel"].shape == (80, 2 * 199)
