"""Voices by espeak-ng that really differ, and clips of them.

A voice is drawn: the height of the voice, the vocal tract's formants (where they are, how strong
and how wide), breath, roughness, accent and more, written as a variant that espeak-ng reads. Some
voices are variants that come with espeak-ng and that people made by ear. What is heard in trials
is drawn first; a voice of pretraining that comes close to one of those is thrown away.

espeak-ng is a program of its own: `apt-get install espeak-ng` (1.51 made the committed files).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "whisper-digits"))
from speech import RATE, Samples, coloured, speak  # noqa: E402

SEED = 5
THREADS = 2
CLIP = RATE  # samples of every clip: one second
# A sound is kept this long; pretraining takes a clip from anywhere in it.
KEPT = CLIP * 3 // 2
ACCENTS = (
    *("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp"),
    *("en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"),
)
# Whispering has no pitch, `fast` is another speed, and `Mr serious` has a blank in its name.
NO_VOICES = {"whisper", "whisperf", "fast", "Mr serious"}
# How many voices of each part are drawn, and how many are espeak-ng's own.
PARTS = {
    "owner": (3, 2),
    "impostor": (100, 20),
    "tuning-owner": (8, 4),
    "tuning-impostor": (70, 10),
    "pretraining": (640, 64),
}
# espeak-ng 1.51 knows at most 349 voices at a time, and brings 230.
TOLD = 64
# Resampling by p / 20 shifts all that is heard, consonants too, as another size of head does.
TRACTS = (18, 19, 20, 21, 22)
# Voices are alike whose pitch is closer than this and whose first formants are closer than that.
PITCH_APART, FORMANT_APART = np.log(1.08), np.log(1.05)
COMPARED_FORMANTS = 4


@dataclass(frozen=True)
class Voice:
    """One who speaks: what espeak-ng is told, and how the sound is resampled.

    `recipe` is the text of the variant, "" for one that comes with espeak-ng. `shape` is the
    logarithm of pitch and of the first formants' places, [1 + COMPARED_FORMANTS], None for those.
    """

    name: str
    part: str
    accent: str
    variant: str
    recipe: str
    speed: int
    pitch: int
    tract: int
    shape: tuple[float, ...] | None


def family(variant: str) -> str:
    """Return what variants of one maker share: iven2 and iven3 are of `iven`."""
    return variant.rstrip("0123456789").lower()


def installed() -> Path:
    """Return the folder of espeak-ng's data. Raises OSError without espeak-ng."""
    done = subprocess.run(["espeak-ng", "--version"], capture_output=True, check=True, text=True)
    return Path(done.stdout.split("Data at:")[1].strip())


def drawn_recipe(random: np.random.Generator, tract: int) -> tuple[str, tuple[float, ...]]:
    """Return a variant's text and its shape: who speaks, from a child to a bass."""
    pitch = np.exp(random.uniform(np.log(68), np.log(230)))
    # Small heads have high voices, but not always.
    size = 1.02 + 0.22 * (np.log(pitch / 125) / np.log(2)) * 0.7 + random.normal(0, 0.07)
    places = np.clip(size * np.exp(random.normal(0, 0.05, 9)), 0.78, 1.45)
    strengths = np.clip(100 * np.exp(random.normal(-0.1, 0.25, 9)), 35, 180)
    widths = np.clip(100 * np.exp(random.normal(0.05, 0.25, 9)), 50, 200)
    lines = ["language variant", "name drawn"]
    lines.append(f"pitch {pitch:.0f} {pitch * random.uniform(1.15, 1.75):.0f}")
    lines += [
        f"formant {n} {100 * places[n]:.0f} {strengths[n]:.0f} {widths[n]:.0f}" for n in range(9)
    ]
    lines.append(f"roughness {random.integers(0, 7)}")
    lines.append(f"flutter {random.integers(0, 16)}")
    lines.append(f"voicing {random.integers(70, 131)}")
    lines.append(f"consonants {random.integers(60, 131)} {random.integers(60, 131)}")
    if random.random() < 0.25:
        lines.append("breath 0 " + " ".join(str(n) for n in random.integers(1, 5, 7)))
    if random.random() < 0.15:
        lines.append(f"klatt {random.integers(1, 5)}")
    heard = np.log([pitch, *(places[1 : 1 + COMPARED_FORMANTS])]) + np.log(20 / tract)
    return "\n".join(lines) + "\n", tuple(float(number) for number in heard)


def draw(part: str, number: int, random: np.random.Generator, variant: str | None = None) -> Voice:
    """Return a voice of a part; its name says which it is. `variant` is espeak-ng's own."""
    tract, recipe, shape = 20, "", None
    if variant is None:
        tract = int(random.choice(TRACTS))
        recipe, shape = drawn_recipe(random, tract)
    name = f"{part}-{number:03}" if variant is None else f"{part}-{variant}"
    return Voice(
        name=name,
        part=part,
        accent=str(random.choice(ACCENTS)),
        variant=variant or name,
        recipe=recipe,
        speed=int(random.integers(150, 201)),
        pitch=int(random.integers(44, 57)),
        tract=tract,
        shape=shape,
    )


def alike(shape: tuple[float, ...], others: npt.NDArray[np.float64]) -> bool:
    """Return whether a voice is close to any other, [others, 1 + COMPARED_FORMANTS], in all."""
    apart = np.abs(others - np.array(shape))
    same = (apart[:, 0] < PITCH_APART) & (apart[:, 1:] < FORMANT_APART).all(1)
    return bool(same.any())


def variants_of_parts(folder: Path) -> dict[str, list[str]]:
    """Return espeak-ng's own variants for each part; no family is in two parts."""
    families: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.name not in NO_VOICES:
            families.setdefault(family(path.name), []).append(path.name)
    left = sorted(families)
    np.random.default_rng([SEED, 1]).shuffle(left)
    chosen: dict[str, list[str]] = {}
    for part, (_, wanted) in PARTS.items():
        mine = chosen.setdefault(part, [])
        while len(mine) < wanted and left:
            mine += families[left.pop()][: wanted - len(mine)]
    return chosen


def all_voices() -> dict[str, list[Voice]]:
    """Return the voices of each part. Those of a part differ from every other part's.

    Parts are drawn in the order of PARTS, so that nothing of pretraining shapes the trials.
    """
    variants = variants_of_parts(installed() / "voices" / "!v")
    voices: dict[str, list[Voice]] = {}
    shapes = np.full((0, 1 + COMPARED_FORMANTS), np.inf)
    for part, (drawn, _) in PARTS.items():
        random = np.random.default_rng([SEED, *part.encode()])
        mine = [draw(part, 0, random, variant) for variant in variants[part]]
        number = 0
        while number < drawn:
            voice = draw(part, number, random)
            assert voice.shape is not None
            if not alike(voice.shape, shapes):
                mine.append(voice)
                number += 1
        own = [voice.shape for voice in mine if voice.shape is not None]
        shapes = np.concatenate([shapes, np.array(own)])
        voices[part] = mine
    return voices


def tell_espeak(voices: Sequence[Voice], folder: Path) -> None:
    """Make a folder of espeak-ng's data with the drawn voices in it, and let espeak-ng use it."""
    theirs, ours = installed(), folder / "espeak-ng-data"
    variants = ours / "voices" / "!v"
    variants.mkdir(parents=True, exist_ok=True)
    links = [(path, ours / path.name) for path in theirs.iterdir() if path.name != "voices"]
    links += [(path, variants / path.name) for path in (theirs / "voices" / "!v").iterdir()]
    for source, link in links:
        if not link.exists():
            link.symlink_to(source)
    for voice in voices:
        if voice.recipe:
            (variants / voice.variant).write_text(voice.recipe)
    os.environ["ESPEAK_DATA_PATH"] = str(folder)


def say_phrase(voice: Voice, text: str, random: np.random.Generator) -> Samples:
    """Return a phrase said by a voice, [at most KEPT samples], a little different every time."""
    speed = round(voice.speed * random.uniform(0.92, 1.08))
    pitch = int(np.clip(voice.pitch + random.integers(-4, 5), 0, 99))
    sound = speak(text, f"{voice.accent}+{voice.variant}", speed=speed, pitch=pitch)
    if voice.tract != 20:
        sound = resample_poly(sound, 20, voice.tract).astype(np.float32)
    return sound[:KEPT]


def spoken(voices: Sequence[Voice], texts: Sequence[Sequence[str]], seed: int) -> list[Samples]:
    """Return sounds, those of the first voice first: `texts` [voices][phrases] said by each."""
    sounds: list[Samples] = []
    for first in range(0, len(voices), TOLD):
        some = voices[first : first + TOLD]
        jobs = [
            (voice, text, np.random.default_rng([SEED, seed, first + row, column]))
            for row, voice in enumerate(some)
            for column, text in enumerate(texts[first + row])
        ]
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(THREADS) as pool:
            tell_espeak(some, Path(folder))
            sounds += pool.map(lambda job: say_phrase(*job), jobs)
    return sounds


def recorded(sound: Samples, random: np.random.Generator) -> Samples:
    """Return a clip [CLIP] as a phone would record a sound: anywhere in it, quiet, some noise."""
    clip = np.zeros(CLIP, np.float32)
    spare = CLIP - len(sound)
    if spare >= 0:
        begins = int(random.integers(0, spare + 1))
        clip[begins : begins + len(sound)] = sound
    else:
        begins = int(random.integers(0, -spare + 1))
        clip[:] = sound[begins : begins + CLIP]
    level = 0.2 * 10 ** random.uniform(-2, -0.9)
    clip += level * coloured(random.uniform(0, 2), CLIP, random)
    return np.asarray(clip * 10 ** random.uniform(-1.7, -0.8), np.float32)
