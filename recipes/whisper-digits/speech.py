"""Speech by espeak-ng, what is no speech, and files of clips: what scripts that make data share.

espeak-ng is a program of its own: `apt-get install espeak-ng` (1.51 made the committed files).
Everything is at 16 kHz and drawn from the generator that is given: equal seeds, equal samples.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from olive_build.families.whisper.clips import mu_law_encode

Samples = npt.NDArray[np.float32]
RATE = 16_000
# espeak-ng speaks at 22,050 Hz, which is RATE * 441 / 320.
UP, DOWN = 320, 441
# What is quieter than this at the ends of what espeak-ng gives is no speech.
QUIET = 0.003
MARGIN = RATE // 50  # kept on both sides of the speech
# Phonemes of espeak-ng, in its own spelling: humming, hissing and breathing, no word.
HUMMING = ("[[m:m:m:]]", "[[3:3:]]", "[[h@h@]]", "[[s;s;s;]]", "[[u:u:]]", "[[a:]]", "[[@@@]]")
NO_SPEECH = ("silence", "white", "pink", "brown", "tone", "chord", "sweep", "clicks", "hum")


def speak(text: str, voice: str, *, speed: int, pitch: int) -> Samples:
    """Return the text spoken, [samples], its peak at 1, without the silence at its ends.

    `speed` is words a minute, `pitch` 0 to 99. Raises OSError without espeak-ng, and RuntimeError
    when it knows no such voice or says nothing.
    """
    command = ["espeak-ng", "--stdout", "-v", voice, "-s", str(speed), "-p", str(pitch), text]
    done = subprocess.run(command, capture_output=True, check=False)
    start = done.stdout.find(b"data") + 8  # the header's sizes are wrong on a pipe
    if done.returncode or start < 8:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    raw = done.stdout[start : start + (len(done.stdout) - start) // 2 * 2]
    samples = resample_poly(np.frombuffer(raw, "<i2").astype(np.float64), UP, DOWN)
    peak = np.abs(samples).max(initial=0)
    loud = np.flatnonzero(np.abs(samples) > QUIET * peak)
    if not len(loud):
        raise RuntimeError(f"{' '.join(command)}: nothing is heard")
    kept = samples[max(loud[0] - MARGIN, 0) : loud[-1] + MARGIN]
    return np.asarray(kept / peak, np.float32)


def coloured(slope: float, samples: int, random: np.random.Generator) -> Samples:
    """Return noise [samples], its peak at 1, whose power falls with frequency ** slope.

    0 is white, 1 pink, 2 brown.
    """
    spectrum = np.fft.rfft(random.normal(size=samples))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-slope / 2)
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / np.abs(noise).max(), np.float32)


def without_speech(
    kind: str, samples: int, voices: Sequence[str], random: np.random.Generator
) -> Samples:
    """Return a clip [samples] of one of NO_SPEECH, its peak at 1 but for silence.

    Humming is by one of `voices`. Raises ValueError for another kind.
    """
    time = np.arange(samples) / RATE
    if kind == "silence":
        return np.zeros(samples, np.float32)
    if kind in ("white", "pink", "brown"):
        return coloured(("white", "pink", "brown").index(kind), samples, random)
    if kind in ("tone", "chord"):
        first, count = np.exp(random.uniform(np.log(80), np.log(3000))), 1 if kind == "tone" else 4
        notes = (np.sin(2 * np.pi * first * (1 + n / 2) * time) for n in range(count))
        sound = sum(notes, np.zeros(samples)) * (
            1 + np.sin(2 * np.pi * random.uniform(0, 6) * time)
        )
    elif kind == "sweep":
        low, high = np.exp(random.uniform(np.log(80), np.log(6000), 2))
        sound = np.sin(2 * np.pi * np.cumsum(np.linspace(low, high, samples)) / RATE)
    elif kind == "clicks":
        sound = np.zeros(samples)
        sound[random.integers(samples - 50, size=random.integers(1, 12))] = 1
        sound = np.convolve(sound, np.exp(-np.arange(50) / random.uniform(1, 12)), "same")
    elif kind == "hum":
        voice, text = str(random.choice(list(voices))), str(random.choice(HUMMING))
        hum = speak(
            text, voice, speed=int(random.integers(40, 120)), pitch=int(random.integers(99))
        )
        sound, begins = np.zeros(samples), random.integers(max(samples - len(hum), 1))
        sound[begins : begins + len(hum)] = hum[: samples - begins]
    else:
        raise ValueError(f"there is no clip without speech of the kind {kind!r}")
    return np.asarray(sound / max(np.abs(sound).max(), 1e-9), np.float32)


def write_clips(
    path: Path, clips: Sequence[Samples], texts: Sequence[str], voices: Sequence[str]
) -> None:
    """Write a file of clips as mu-law. `voices`, one a clip, are for people; no reader asks."""
    np.savez_compressed(
        path,
        audio=np.concatenate([mu_law_encode(clip) for clip in clips]),
        lengths=np.array([len(clip) for clip in clips], np.int64),
        texts=np.array(texts),
        voices=np.array(voices),
    )
