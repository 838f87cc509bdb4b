"""Recordings as numbers, and what is said of those that cannot be learned from."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from labelled_folders import RATE, pcm, refused, tone, write_wav

from olive_build.families.audio_classification.wav import read_wav


@pytest.mark.parametrize(("width", "close"), [(1, 1 / 127), (2, 4e-5), (3, 2e-7), (4, 1e-7)])
def test_every_width_of_numbers_gives_the_same_sound(
    tmp_path: Path, width: int, close: float
) -> None:
    path = write_wav(tmp_path / "a.wav", tone(), width=width)
    samples = read_wav(path, RATE)
    assert samples.dtype == np.float32 and samples.shape == (1600,)
    np.testing.assert_allclose(samples, tone(), atol=close)


def test_full_scale_is_one(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.array([-1.0, 1.0, 0.0, 0.5]), width=3)
    np.testing.assert_allclose(read_wav(path, RATE), [-1, 1, 0, 0.5], atol=3e-7)


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(), 0.5 * tone(pitch=300)], axis=1)
    path = write_wav(tmp_path / "a.wav", both, channels=2)
    np.testing.assert_allclose(read_wav(path, RATE), both.mean(1), atol=5e-5)


def test_another_rate_is_not_resampled_in_silence(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "hello.wav", tone(), rate=44_100)
    said = refused(lambda: read_wav(path, RATE))
    assert "a recording has 44100 samples a second, and the model takes 16000" in said
    assert f"at:      {path}" in said
    assert "ffmpeg -i hello.wav -ar 16000 -ac 1 -c:a pcm_s16le out.wav" in said


def test_a_recording_that_was_cut_off_says_how_much_is_there(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    path.write_bytes(path.read_bytes()[:-1000])
    said = refused(lambda: read_wav(path, RATE))
    assert "a recording is cut off" in said
    assert "its header says 1600 samples, and it holds 1100" in said


@pytest.mark.parametrize("kept", [0, 7, 20, 40])
def test_a_header_that_was_cut_off_is_no_traceback(tmp_path: Path, kept: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    path.write_bytes(path.read_bytes()[:kept])
    said = refused(lambda: read_wav(path, RATE))
    assert "a recording cannot be read" in said
    assert "because: it" in said or "because: fmt chunk" in said


def test_an_mp3_with_another_name_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(b"ID3\x04\x00" + bytes(range(256)) * 8)
    said = refused(lambda: read_wav(path, RATE))
    assert "it is no wav file, whatever its name says" in said
    assert "ffmpeg -i song.wav" in said


def test_numbers_with_a_point_are_said_to_be_no_pcm(tmp_path: Path) -> None:
    data = tone().astype("<f4").tobytes()
    header = struct.pack("<HHIIHH", 3, 1, RATE, RATE * 4, 4, 32)
    chunks = (
        b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(data)) + data
    )
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    said = refused(lambda: read_wav(path, RATE))
    assert "it is a wav file, and not of plain numbers, PCM (unknown format: 3)" in said


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_silence_is_nothing_to_learn_from(tmp_path: Path, value: float) -> None:
    said = refused(lambda: read_wav(write_wav(tmp_path / "a.wav", np.full(800, value)), RATE))
    assert "a recording is silent" in said
    assert "its 800 samples are all the same" in said


def test_a_recording_of_no_samples_is_empty(tmp_path: Path) -> None:
    said = refused(lambda: read_wav(write_wav(tmp_path / "a.wav", np.zeros(0)), RATE))
    assert "a recording is empty" in said


def test_a_folder_with_such_a_name_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    assert "a recording cannot be read" in refused(lambda: read_wav(tmp_path / "a.wav", RATE))


def test_eight_bits_are_unsigned() -> None:
    assert pcm(np.array([-1.0, 0.0, 1.0]), 1) == bytes([1, 128, 255])
