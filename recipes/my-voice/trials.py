"""Trials: what owners say to enrol, what they say afterwards, and others who say the same.

    python recipes/my-voice/trials.py --write DIR [--owner NAME]

writes clips of trials.npz as wav files that `olive-build train --data DIR` learns from: the eight
that an owner enrols with, and those of others that an app would ship. It needs no espeak-ng.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from phrases import phrases
from voices import CLIP, Voice, all_voices, recorded, spoken

from olive_build.proof.audio import Samples, StoredClips, mu_law_encode, wav_of

HERE = Path(__file__).resolve().parent
SEED = 7
ENROLMENT_CLIPS, BACKGROUND_CLIPS, IMPOSTOR_CLIPS = 8, 64, 2

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Trials:
    """Clips [clips, CLIP] with whose they are, what for, and what is said, [clips] each."""

    audio: Samples
    speakers: Names
    roles: Names
    texts: Names

    def owners(self) -> list[str]:
        """Return the speakers that have clips of enrolment."""
        return sorted(set(self.speakers[self.roles == "enrolment"]))

    def clips(self, role: str, owner: str | None = None) -> Samples:
        """Return the clips of a role, [clips, CLIP], of one owner or of everyone."""
        mine = self.speakers == owner if owner else np.ones(len(self.roles), bool)
        return self.audio[(self.roles == role) & mine]

    def others(self, owner: str) -> Samples:
        """Return who is not the owner in a trial: impostors, then other owners' held-out clips."""
        held_out = (self.roles == "held-out") & (self.speakers != owner)
        return self.audio[(self.roles == "impostor") | held_out]


def read_trials(path: Path) -> Trials:
    """Return the trials of a file, all clips of one length."""
    with np.load(path, allow_pickle=False) as arrays:
        clips = StoredClips(arrays["audio"], arrays["lengths"])
        return Trials(np.stack(list(clips)), *(arrays[n] for n in ("speakers", "roles", "texts")))


def make_trials(
    kind: str = "", enrolment_clips: int = ENROLMENT_CLIPS, impostor_clips: int = IMPOSTOR_CLIPS
) -> Trials:
    """Return trials by the parts `owner` and `impostor`; with a kind, by `<kind>owner` and so on.

    Each impostor says `impostor_clips` of the held-out phrases, each background voice one of those
    that owners enrol with, so that no phrase says who speaks.
    """
    random = np.random.default_rng([SEED, *kind.encode()])
    _, enrolment, held_out = phrases()
    parts = all_voices()
    owners, impostors = parts[f"{kind}owner"], parts[f"{kind}impostor"]
    chosen = np.random.default_rng(SEED).choice(
        len(parts["pretraining"]), BACKGROUND_CLIPS, replace=False
    )
    background = [parts["pretraining"][at] for at in sorted(chosen)]
    said_by_others = [
        [str(text) for text in random.permutation(held_out)[:impostor_clips]] for _ in impostors
    ]
    said: list[tuple[str, list[Voice], list[list[str]]]] = [
        ("enrolment", owners, [list(enrolment[:enrolment_clips])] * len(owners)),
        ("held-out", owners, [list(held_out)] * len(owners)),
        ("background", background, [[enrolment[n % len(enrolment)]] for n in range(len(chosen))]),
        ("impostor", impostors, said_by_others),
    ]
    rows: list[tuple[str, str, str]] = []
    clips: list[Samples] = []
    for number, (role, voices, texts) in enumerate(said):
        sounds = spoken(voices, texts, 100 + number)
        clips += [recorded(sound, random) for sound in sounds]
        rows += [
            (voice.name, role, text)
            for voice, mine in zip(voices, texts, strict=True)
            for text in mine
        ]
    return Trials(np.stack(clips), *(np.array(column) for column in zip(*rows, strict=True)))


def write_trials(path: Path, trials: Trials) -> None:
    """Write trials as mu-law, half a megabyte for 40 clips."""
    np.savez_compressed(
        path,
        audio=mu_law_encode(trials.audio).ravel(),
        lengths=np.full(len(trials.audio), CLIP, np.int64),
        speakers=trials.speakers,
        roles=trials.roles,
        texts=trials.texts,
    )


def write_folder(folder: Path, trials: Trials, owner: str) -> int:
    """Write owner/*.wav and other/*.wav: an owner's clips of enrolment, and the background's.

    Returns how many were written. Raises ValueError for a name that no owner has.
    """
    if owner not in trials.owners():
        raise ValueError(f"there is no owner {owner}; there are {', '.join(trials.owners())}")
    written = {"owner": trials.clips("enrolment", owner), "other": trials.clips("background")}
    for label, clips in written.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number, clip in enumerate(clips):
            (folder / label / f"{number:02}.wav").write_bytes(wav_of(clip).tobytes())
    return sum(map(len, written.values()))


def main() -> None:
    """Write the clips of one owner."""
    parser = argparse.ArgumentParser(description="write clips of trials.npz as wav files")
    parser.add_argument("--write", type=Path, required=True, metavar="DIR")
    parser.add_argument("--owner", default="owner-000", metavar="NAME", help="or another owner")
    asked = parser.parse_args()
    try:
        count = write_folder(asked.write, read_trials(HERE / "trials.npz"), asked.owner)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{count} clips in {asked.write}\n")


if __name__ == "__main__":
    main()
