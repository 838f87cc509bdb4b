"""A file of trials: owners' clips, others' to learn beside them, and strangers'. numpy alone.

What is said of a model with them holds only where no voice is both learned and judged, and where
there are enough of each kind: a single stranger gives an equal error rate of zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.errors import StepError
from olive_build.families.audio_classification.examples import Samples, prepared
from olive_build.proof.audio import StoredClips
from olive_build.untrusted import followed, read_npz

ENROLMENT, HELD_OUT, BACKGROUND, IMPOSTOR = "enrolment", "held-out", "background", "impostor"
# What a speaker's clips may be: an owner's, or one of the two kinds of other voices.
ROLES_OF_A_SPEAKER = ({ENROLMENT, HELD_OUT}, {BACKGROUND}, {IMPOSTOR})
FEWEST_OWNERS = 4
# Of each owner: clips of the owner's own, and clips of voices that its model never heard.
FEWEST_OF_OWNER, FEWEST_OF_OTHERS = 40, 400


@dataclass(frozen=True)
class Trials:
    """Prepared clips [clips, samples] with whose each is and what for."""

    inputs: Samples
    speakers: tuple[str, ...]
    roles: tuple[str, ...]


def read_trials(path: Path, described: Mapping[str, Any]) -> Trials:
    """Return the clips of an .npz file of trials, prepared as `described` says.

    Its arrays are `audio` and `lengths` (see proof/audio.py), `speakers` and `roles`, one a clip.
    Raises StepError where they are not, and where they would prove nothing.
    """
    try:
        arrays = read_npz(followed(path))
        clips = StoredClips(arrays["audio"], arrays["lengths"])
        speakers, roles = arrays["speakers"], arrays["roles"]
        if not len(clips) == len(speakers) == len(roles):
            raise ValueError("`lengths`, `speakers` and `roles` are not one a clip")
        empty = np.flatnonzero(clips.lengths == 0)
        if len(empty):
            raise ValueError(f"clip {empty[0]} is empty")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepError(
            "the file of trials cannot be read",
            where=str(path),
            why=str(error.args[0] if isinstance(error, KeyError) else error),
            hint="save it with numpy.savez_compressed(file, audio=..., lengths=..., speakers=..., "
            "roles=...): the samples of all clips one after the other, and three arrays [clips]",
        ) from error
    whose, what = tuple(map(str, speakers)), tuple(map(str, roles))
    _check_roles(path, whose, what)
    _check_repeated(path, clips)
    _check_counts(path, whose, what)
    return Trials(prepared(list(clips), described), whose, what)


def _check_roles(path: Path, speakers: Sequence[str], roles: Sequence[str]) -> None:
    """Raise StepError for a role that is none, and for a voice that is on two sides."""
    known = (ENROLMENT, HELD_OUT, BACKGROUND, IMPOSTOR)
    of_speaker: dict[str, set[str]] = {}
    for clip, (speaker, role) in enumerate(zip(speakers, roles, strict=True)):
        if role not in known:
            raise _useless(
                path,
                f"clip {clip} has the role '{role}'",
                f"the roles are {', '.join(known)}",
                "write one of those into `roles`",
            )
        of_speaker.setdefault(speaker, set()).add(role)
    for speaker, found in of_speaker.items():
        if not any(found <= allowed for allowed in ROLES_OF_A_SPEAKER):
            raise _useless(
                path,
                f"the speaker '{speaker}' is {' and '.join(sorted(found))} at once",
                "a voice that was learned from, or is the owner's, is no stranger's",
                "give each role voices of its own; `enrolment` and `held-out` are of one owner",
            )
        if HELD_OUT in found and ENROLMENT not in found:
            raise _useless(
                path,
                f"'{speaker}' has held-out clips and none to enrol",
                "a model becomes a speaker's by the clips whose role is `enrolment`",
                "give the speaker such clips, or make all of them `impostor`",
            )
    for role in known:
        if role not in roles:
            raise _useless(
                path,
                f"no clip has the role '{role}'",
                f"owners learn from `{ENROLMENT}` and `{BACKGROUND}`, and are judged on "
                f"`{HELD_OUT}` and `{IMPOSTOR}`",
                "add such clips",
            )


def _check_repeated(path: Path, clips: StoredClips) -> None:
    """Raise StepError where a recording is there twice: it would be learned, or count, twice."""
    first: dict[bytes, int] = {}
    ends = np.cumsum(clips.lengths)
    for clip, (end, length) in enumerate(zip(ends, clips.lengths, strict=True)):
        before = first.setdefault(clips.audio[end - length : end].tobytes(), clip)
        if before != clip:
            raise _useless(
                path,
                f"clips {before} and {clip} are the same recording",
                "one that is learned says nothing when it is judged, and none counts twice",
                "remove one of them",
            )


def _check_counts(path: Path, speakers: Sequence[str], roles: Sequence[str]) -> None:
    """Raise StepError where there are too few owners, or too few trials of one."""
    named = list(zip(speakers, roles, strict=True))
    owners = sorted({speaker for speaker, role in named if role == ENROLMENT})
    if len(owners) < FEWEST_OWNERS:
        raise _too_few(path, f"it has {len(owners)}: {', '.join(owners)}", "owners")
    held_out = {owner: named.count((owner, HELD_OUT)) for owner in owners}
    strangers = sum(role == IMPOSTOR for role in roles)
    fewest = min(held_out, key=held_out.__getitem__)
    if held_out[fewest] < FEWEST_OF_OWNER:
        there = f"'{fewest}' has {held_out[fewest]} clips whose role is `{HELD_OUT}`"
        raise _too_few(path, there, "trials of an owner")
    # Whoever has most of the owners' clips has fewest of others'.
    most = max(held_out, key=held_out.__getitem__)
    others = sum(held_out.values()) - held_out[most]
    if strangers + others < FEWEST_OF_OTHERS:
        there = f"'{most}' is tried with {strangers} clips of impostors and {others} of owners"
        raise _too_few(path, there, "trials of others")


def _too_few(path: Path, there: str, what: str) -> StepError:
    return _useless(
        path,
        f"there are too few {what}",
        f"{there}; needed are {FEWEST_OWNERS} owners, and of each {FEWEST_OF_OWNER} `{HELD_OUT}` "
        f"clips and {FEWEST_OF_OTHERS} of `{IMPOSTOR}`s and other owners together",
        "add clips: with fewer, an equal error rate is chance",
    )


def _useless(path: Path, what: str, why: str, hint: str) -> StepError:
    return StepError(f"the trials prove nothing: {what}", where=str(path), why=why, hint=hint)
