"""Clips as they are stored, and as wav files."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from olive_build.proof.audio import StoredClips, mu_law_decode, mu_law_encode, samples_of, wav_of


def test_clips_are_cut_where_their_lengths_say() -> None:
    clips = StoredClips(np.array([0, 1 << 14, -(1 << 14), 1 << 13], "i2"), np.array([1, 0, 3]))
    assert len(clips) == 3
    assert [clip.tolist() for clip in clips] == [[0], [], [0.5, -0.5, 0.25]]
    assert clips.clip(2).dtype == np.float32


@pytest.mark.parametrize(
    ("audio", "lengths", "why"),
    [
        (np.zeros((2, 2), "i2"), np.array([4]), "one axis each"),
        (np.zeros(4, "i2"), np.array([[4]]), "one axis each"),
        (np.zeros(0, "i2"), np.zeros(0, int), "holds no clip"),
        (np.zeros(4, "i2"), np.array([4.0]), "whole numbers"),
        (np.zeros(4, "i2"), np.array([5, -1]), "whole numbers"),
        (np.zeros(4, "i2"), np.array([1, 2]), "add up to 3, and `audio` has 4 samples"),
        (np.zeros(4, "f8"), np.array([4]), "`audio` is float64"),
        (np.array([0, np.nan], "f4"), np.array([2]), "no finite numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_named(audio: np.ndarray, lengths: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        StoredClips(audio, lengths)


def test_mu_law_keeps_silence_and_is_near_elsewhere() -> None:
    wave_ = np.sin(np.linspace(0, 20, 2000)).astype(np.float32)
    wave_[:5] = 0
    found = mu_law_decode(mu_law_encode(wave_))
    assert found.dtype == np.float32
    assert (found[:5] == 0).all()
    # A step of mu-law is some 2.2 % of the value, and half of one is lost.
    np.testing.assert_allclose(found, wave_, rtol=0.025, atol=2e-4)


def test_samples_of_full_scale_are_one() -> None:
    assert samples_of(np.array([-(1 << 15), 1 << 14], "i2")).tolist() == [-1, 0.5]
    assert samples_of(np.array([0.25], "f4")).tolist() == [0.25]


def test_a_wav_file_has_the_samples_of_16_bit_audio_unchanged() -> None:
    stored = np.array([0, 1, -1, 32767, -32768, 1234], "i2")
    with wave.open(io.BytesIO(wav_of(samples_of(stored)).tobytes())) as file:
        about = file.getnchannels(), file.getsampwidth(), file.getframerate()
        read = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert about == (1, 2, 16_000)
    assert read.tolist() == stored.tolist()


def test_what_is_too_loud_for_a_wav_file_is_cut_and_does_not_turn_over() -> None:
    data = wav_of(np.array([1.0, 2.0, -2.0], np.float32)).tobytes()
    assert np.frombuffer(data[-6:], "<i2").tolist() == [32767, 32767, -32768]
