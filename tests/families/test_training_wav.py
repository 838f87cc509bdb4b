"""Recordings as numbers, and what is said of those that cannot be learned from."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from labelled_folders import RATE, pcm, refused, tone, write_wav

from olive_build.families.audio_classification import wav
from olive_build.families.audio_classification.wav import Samples, open_wav

# Of a wav file's header: 16 bytes of form, and what makes them the extensible form of PCM.
GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def read(path: Path) -> Samples:
    return open_wav(path, RATE).read()


def raw_wav(
    path: Path,
    data: bytes,
    *,
    tag: int = 1,
    width: int = 2,
    bits: int | None = None,
    more: bytes = b"",
    length: int | None = None,
) -> Path:
    """Write a wav file field by field; `more` ends its form, and `length` is that of the data."""
    form = struct.pack("<HHIIHH", tag, 1, RATE, RATE * width, width, bits or 8 * width) + more
    said = len(data) if length is None else length
    chunks = [(b"fmt ", len(form), form), (b"odd ", 3, b"abc\0"), (b"data", said, data)]
    written = b"".join(name + struct.pack("<I", size) + some for name, size, some in chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + written)
    return path


def extensible(bits: int, guid: bytes = GUID) -> bytes:
    return struct.pack("<HHI", 22, bits, 4) + guid


@pytest.mark.parametrize(("width", "close"), [(1, 1 / 127), (2, 4e-5), (3, 2e-7), (4, 1e-7)])
def test_every_width_of_numbers_gives_the_same_sound(
    tmp_path: Path, width: int, close: float
) -> None:
    path = write_wav(tmp_path / "a.wav", tone(), width=width)
    samples = read(path)
    assert samples.dtype == np.float32 and samples.shape == (1600,)
    np.testing.assert_allclose(samples, tone(), atol=close)


def test_full_scale_is_one(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.array([-1.0, 1.0, 0.0, 0.5]), width=3)
    np.testing.assert_allclose(read(path), [-1, 1, 0, 0.5], atol=3e-7)


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(), 0.5 * tone(pitch=300)], axis=1)
    path = write_wav(tmp_path / "a.wav", both, channels=2)
    np.testing.assert_allclose(read(path), both.mean(1), atol=5e-5)


def test_another_rate_is_not_resampled_in_silence(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "hello.wav", tone(), rate=44_100)
    said = refused(lambda: read(path))
    assert "a recording has 44100 samples a second, and the model takes 16000" in said
    assert f"at:      {path}" in said
    assert "ffmpeg -i hello.wav -ar 16000 -ac 1 -c:a pcm_s16le out.wav" in said


def test_a_recording_that_was_cut_off_says_how_much_is_there(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    path.write_bytes(path.read_bytes()[:-1000])
    said = refused(lambda: read(path))
    assert "a recording is cut off" in said
    assert "its header says 1600 samples, and it holds 1100" in said


@pytest.mark.parametrize("kept", [0, 7, 20, 40])
def test_a_header_that_was_cut_off_is_no_traceback(tmp_path: Path, kept: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    path.write_bytes(path.read_bytes()[:kept])
    said = refused(lambda: read(path))
    assert "a recording cannot be read" in said
    assert "because: it ends before a wav file's header does" in said


def test_an_mp3_with_another_name_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(b"ID3\x04\x00" + bytes(range(256)) * 8)
    said = refused(lambda: read(path))
    assert "it is no wav file, whatever its name says" in said
    assert "ffmpeg -i song.wav" in said


@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_extensible_form_that_ffmpeg_writes_is_read(tmp_path: Path, width: int) -> None:
    more = extensible(8 * width)
    path = raw_wav(tmp_path / "a.wav", pcm(tone(), width), tag=0xFFFE, width=width, more=more)
    np.testing.assert_allclose(read(path), tone(), atol=4e-5)


def test_twenty_bits_lie_in_the_upper_ones_of_three_bytes(tmp_path: Path) -> None:
    data = pcm(tone(), 3)
    path = raw_wav(tmp_path / "a.wav", data, tag=0xFFFE, width=3, bits=20, more=extensible(20))
    np.testing.assert_allclose(read(path), tone(), atol=2e-7)


@pytest.mark.parametrize(
    ("tag", "more", "number"),
    [
        (3, b"", 3),
        (0xFFFE, extensible(32, b"\3" + GUID[1:]), 3),
        (0xFFFE, extensible(32, GUID[:-1] + b"x"), 65534),
        (0xFFFE, b"", 65534),
    ],
)
def test_numbers_with_a_point_are_said_to_be_no_pcm(
    tmp_path: Path, tag: int, more: bytes, number: int
) -> None:
    data = tone().astype("<f4").tobytes()
    path = raw_wav(tmp_path / "a.wav", data, tag=tag, width=4, more=more)
    said = refused(lambda: read(path))
    assert (
        f"it is a wav file, and not of plain numbers, PCM (its format is number {number})" in said
    )
    assert "ffmpeg -i a.wav" in said


@pytest.mark.parametrize("width", [0, 5, 8])
def test_samples_of_another_size_are_refused(tmp_path: Path, width: int) -> None:
    path = raw_wav(tmp_path / "a.wav", bytes(80), width=width, bits=8 * width or 16)
    said = refused(lambda: read(path))
    assert f"in {width} bytes: 8, 16, 24 and 32 bits are read" in said


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000])
def test_a_file_out_of_a_pipe_is_read_to_its_end(tmp_path: Path, length: int) -> None:
    path = raw_wav(tmp_path / "a.wav", pcm(tone(), 2) + b"\0", length=length)
    np.testing.assert_allclose(read(path), tone(), atol=4e-5)


def test_a_length_that_only_looks_large_is_one_of_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = raw_wav(tmp_path / "a.wav", pcm(tone(), 2), length=0x7FFFF002)
    assert "a recording is cut off" in refused(lambda: read(path))


def test_samples_before_their_form_are_no_traceback(tmp_path: Path) -> None:
    data = b"data" + struct.pack("<I", 4) + bytes(4)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", 16) + b"WAVE" + data)
    said = refused(lambda: read(tmp_path / "a.wav"))
    assert "its header does not say what its samples are" in said


@pytest.mark.parametrize("block", [1, 7, 100, 800, 5_000])
@pytest.mark.parametrize("most", [2, 99, 800])
def test_the_loudest_part_is_the_same_by_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, most: int
) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 3_000)
    noise[1_234:2_034] *= 5
    path = write_wav(tmp_path / "a.wav", noise)
    whole = read(path)
    begins = int(np.argmax(wav.energies(whole, most)))
    monkeypatch.setattr(wav, "BLOCK", block)
    found = open_wav(path, RATE).read(most)
    np.testing.assert_array_equal(found, whole[begins : begins + most])


def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    quiet = np.random.default_rng(0).uniform(-0.01, 0.01, 120 * RATE)
    quiet[70 * RATE : 71 * RATE] = loud = np.random.default_rng(1).uniform(-1, 1, RATE)
    recording = open_wav(write_wav(tmp_path / "a.wav", quiet), RATE)
    del quiet
    tracemalloc.start()
    found = recording.read(RATE)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(found, loud, atol=5e-5)
    assert most < 4 * len(recording)  # bytes: less than its numbers alone


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_silence_is_nothing_to_learn_from(tmp_path: Path, value: float) -> None:
    said = refused(lambda: read(write_wav(tmp_path / "a.wav", np.full(800, value))))
    assert "a recording is silent" in said
    assert "its 800 samples are all the same" in said


def test_silence_is_found_in_a_part_too(tmp_path: Path) -> None:
    recording = open_wav(write_wav(tmp_path / "a.wav", np.zeros(800)), RATE)
    assert "its loudest 100 samples are all the same" in refused(lambda: recording.read(100))


def test_a_recording_of_no_samples_is_empty(tmp_path: Path) -> None:
    said = refused(lambda: read(write_wav(tmp_path / "a.wav", np.zeros(0))))
    assert "a recording is empty" in said


def test_a_folder_with_such_a_name_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    assert "a recording cannot be read" in refused(lambda: read(tmp_path / "a.wav"))


def test_eight_bits_are_unsigned() -> None:
    assert pcm(np.array([-1.0, 0.0, 1.0]), 1) == bytes([1, 128, 255])
