"""Write one short clip of recipes/whisper-digits/test.npz in every form that tests read.

    apt-get install ffmpeg
    python tests/families/whisper_audio/make_audio.py

The clip is the longest of at most LONGEST samples that has WORDS different words and no noise in
its silence. Each file's name says what is said and how it is stored. ffmpeg (5.1) makes the .mp3
and the .flac.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from olive_build.families.whisper.clips import Clips, read_clips

HERE = Path(__file__).resolve().parent
TEST = HERE.parents[2] / "recipes" / "whisper-digits" / "test.npz"
WORDS = 3
LONGEST = 13_000
RATE = 16_000
# Around the speech: a clip has a random silence before it, which takes space.
SILENCE = RATE // 20


def chosen(clips: Clips) -> tuple[np.ndarray, str]:
    """Return the clip, int16 [samples], and what is said in it."""
    found = []
    for audio, text in zip(clips.audio, clips.texts, strict=True):
        loud = np.flatnonzero(audio)
        if len(set(text.split())) == WORDS and loud[0] > 0:
            cut = audio[loud[0] : loud[-1] + 1]
            level = 0.5 / np.abs(cut).max()
            found.append((len(cut), text, np.pad(cut * level, SILENCE)))
    _, text, audio = max((item for item in found if item[0] <= LONGEST), key=lambda item: item[0])
    return np.round(audio * (1 << 15)).astype(np.int16), text


def main() -> None:
    """Write all files."""
    audio, text = chosen(read_clips(TEST))
    name = text.replace(" ", "_")
    plain = HERE / f"{name}.wav"
    wavfile.write(plain, RATE, audio)
    slow = resample_poly(audio.astype(np.float64), 1, 2)
    wavfile.write(HERE / f"{name}_8khz.wav", RATE // 2, np.round(slow).astype(np.int16))
    # The right channel is half as loud, so that a reader that takes one of them is noticed.
    wavfile.write(HERE / f"{name}_stereo.wav", RATE, np.stack([audio, audio // 2], 1))
    for suffix, options in {"mp3": ("-b:a", "48k"), "flac": ()}.items():
        target = HERE / f"{name}.{suffix}"
        command = ("ffmpeg", "-loglevel", "error", "-y", "-i", str(plain), *options)
        subprocess.run([*command, "-bitexact", str(target)], check=True)
    for path in sorted(HERE.glob(f"{name}*")):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
