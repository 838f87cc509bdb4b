"""Let espeak-ng speak the sentences that proofs and quantizers of speech models run on.

    apt-get install espeak-ng
    python benchmarks/synthesize_speech.py [FOLDER]

FOLDER is olive_build/proof/data unless it is given; speech.npz and calibration-speech.npz are
written there. espeak-ng 1.51 made the committed files; the same one gives the same bytes. The
sentences were written for this. None has a number, a person, a place, or a word with two spellings,
so that a transcription's words can be counted against them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "recipes" / "whisper-digits"))

from speech import RATE, Samples, coloured, speak, without_speech, write_clips  # noqa: E402

SEED = 40
SPEECH = (
    "The baker opens his shop before the sun comes up.",
    "Please put the clean plates back on the upper shelf.",
    "We walked along the river until it began to rain.",
    "My sister plays the piano better than anyone I know.",
    "The last train to the city leaves in a few minutes.",
    "Could you tell me where the nearest library is?",
    "He forgot his umbrella and came home soaking wet.",
    "The children built a castle of sand near the water.",
    "A gentle wind moved the leaves of the old oak tree.",
    "She reads a short story to her son every evening.",
    "The kitchen smells of fresh bread and strong coffee.",
    "Nobody noticed that the small clock had stopped.",
    "The farmer drives his tractor slowly across the field.",
    "There is a letter for you on the table in the hall.",
    "I would like to learn how to repair my own bicycle.",
    "The mountain was hidden behind thick white clouds.",
    "The workers are painting the long fence green this week.",
    "The museum is closed today, but the garden is open.",
    "Turn left after the bridge and follow the narrow road.",
    "They laughed so loudly that the baby woke up.",
    "A black cat sleeps on the roof of the red car.",
    "The teacher wrote the answer on the board with chalk.",
    "When the lights went out, everybody became very quiet.",
    "He carried the heavy box up the stairs without help.",
    "The soup needs more salt and a little pepper.",
    "Birds were singing in the garden early this morning.",
    "The doctor told him to drink plenty of water.",
    "We watched the ships leave the bay at sunset.",
    "She found an old photograph under the wooden floor.",
    "It takes about an hour to reach the lake on foot.",
    "The students asked many questions after the lesson.",
    "Snow covered the village like a soft white blanket.",
    "He always keeps a pencil and some paper in his pocket.",
    "The market sells apples, cheese, honey and fresh fish.",
    "Close the window, please, because the room is getting cold.",
    "A friendly dog followed us all the way to the station.",
    "The music from the street made the work seem easier.",
    "Nothing tastes better than cold water after a long walk.",
    "My grandfather planted this apple tree as a young man.",
    "The bus was late again because of the heavy traffic.",
    "She closed her eyes and listened to the sound of the sea.",
    "The key to the cellar hangs on a nail behind the door.",
    "Most of the people in the room already knew the answer.",
    "You can borrow my ladder, but bring it back before Friday.",
)
CALIBRATION = (
    "The painter mixed blue and yellow to make a warm green.",
    "Leave your wet shoes outside and come in quickly.",
    "An owl called from the forest during the night.",
    "The engine made a strange noise and then stopped.",
    "Her brother works as a cook on a large ship.",
    "We need milk, butter and eggs for the cake.",
    "The path through the valley was steep and full of stones.",
    "Do you remember the song we used to sing at school?",
    "A spider spun its web between the branches.",
    "The judge listened carefully and made some notes.",
    "Bring a warm jacket, since the evenings are cool.",
    "The old man feeds the ducks in the park every Sunday.",
    "Their house has a tiny balcony above the bakery.",
    "Somebody left a basket of plums in front of our gate.",
    "The radio said that the storm would pass by noon.",
    "He polished the silver spoons until they shone.",
)
WITHOUT_SPEECH = ("silence", "pink", "chord", "clicks")
SPEECH_VOICES = (
    *("en-us", "en-gb+f2", "en-us+m3", "en-gb-x-rp", "en-us+f3", "en-gb+m1", "en-us+linda"),
    *("en-us-nyc", "en-gb-scotland+f1", "en-029", "en-us+Alicia", "en-gb+Andy", "en-gb-x-gbclan"),
)
CALIBRATION_VOICES = ("en-gb", "en-us+f1", "en-us+m7", "en-gb-x-rp+f4", "en-gb+m2", "en-us+Annie")


def recorded(sound: Samples, random: np.random.Generator) -> Samples:
    """Return speech at some level between two silences, every other time with faint noise."""
    around = [int(samples) for samples in random.integers(RATE // 10, RATE // 3, 2)]
    level = random.uniform(0.3, 0.9)
    sound = np.pad(sound, around) * level
    if random.random() < 0.5:
        faint = level * 10 ** random.uniform(-2.2, -1.5)
        sound = sound + faint * coloured(random.uniform(0, 2), len(sound), random)
    return np.asarray(np.clip(sound, -1, 1), np.float32)


def write(path: Path, sentences: tuple[str, ...], voices: tuple[str, ...], *kinds: str) -> None:
    """Write the sentences, the voices in turn, and behind them clips without speech."""
    random = np.random.default_rng([SEED, *path.stem.encode()])
    clips, spoken_by = [], []
    for index, sentence in enumerate(sentences):
        voice = voices[index % len(voices)]
        speed, pitch = int(random.integers(145, 185)), int(random.integers(35, 65))
        clips.append(recorded(speak(sentence, voice, speed=speed, pitch=pitch), random))
        spoken_by.append(voice)
    for kind in kinds:
        clips.append(0.3 * without_speech(kind, 2 * RATE, voices, random))
        spoken_by.append("")
    write_clips(path, clips, (*sentences, *("" for _ in kinds)), spoken_by)
    seconds = sum(map(len, clips)) / RATE
    words = sum(len(sentence.split()) for sentence in sentences)
    print(f"{path.name}: {words} words, {seconds:.0f} s, {path.stat().st_size:,} bytes")


def main() -> None:
    """Write both files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "olive_build" / "proof" / "data"
    assert not set(SPEECH) & set(CALIBRATION)
    write(folder / "speech.npz", SPEECH, SPEECH_VOICES, *WITHOUT_SPEECH)
    write(folder / "calibration-speech.npz", CALIBRATION, CALIBRATION_VOICES)


if __name__ == "__main__":
    main()
