"""The file of trials: what is read of it, and what would prove nothing and is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_folders import RATE

from olive_build.errors import StepError
from olive_build.families.audio_classification import trials
from olive_build.families.audio_classification.examples import normalized
from olive_build.proof.audio import mu_law_decode, mu_law_encode

SAMPLES = 40
DESCRIBED = {
    "kind": "audio",
    "sampling_rate": RATE,
    "samples": SAMPLES,
    "longest": SAMPLES,
    "normalize": True,
}
OWNERS = ["ann", "bob", "cem", "dan"]
Row = tuple[str, str]


def rows(held_out: int = 40, impostors: int = 280) -> list[Row]:
    """Return speaker and role of each clip: as few as are accepted, where nobody says otherwise."""
    found = [(owner, "enrolment") for owner in OWNERS]
    found += [(owner, "held-out") for owner in OWNERS for _ in range(held_out)]
    return [*found, ("radio", "background"), *[("thief", "impostor")] * impostors]


def write(path: Path, named: list[Row], **changed: object) -> Path:
    """Write clips of seeded noise, with other arrays in the place of those that are given."""
    noise = np.random.default_rng(0).uniform(-1, 1, (len(named), SAMPLES))
    arrays = {
        "audio": mu_law_encode(noise).ravel(),
        "lengths": np.full(len(named), SAMPLES),
        "speakers": np.array([speaker for speaker, _ in named]),
        "roles": np.array([role for _, role in named]),
        "texts": np.array(["yes"] * len(named)),
    }
    arrays.update(changed)
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def refused(path: Path) -> str:
    with pytest.raises(StepError) as caught:
        trials.read_trials(path, DESCRIBED)
    assert caught.value.hint and caught.value.where == str(path)
    return " ".join(caught.value.render().split())


def test_they_are_prepared_as_recordings_are(tmp_path: Path) -> None:
    path = write(tmp_path / "trials.npz", rows())
    found = trials.read_trials(path, DESCRIBED)
    assert list(zip(found.speakers, found.roles, strict=True)) == rows()
    with np.load(path) as arrays:
        heard = mu_law_decode(arrays["audio"]).reshape(-1, SAMPLES)
    np.testing.assert_allclose(found.inputs, normalized(heard), atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"roles": None}, "roles is not a file in the archive"),
        ({"speakers": np.array(["ann"])}, "are not one a clip"),
        ({"lengths": np.array([SAMPLES, SAMPLES - 1])}, "`lengths` add up to 79"),
        ({"lengths": np.array([2 * SAMPLES, 0])}, "clip 1 is empty"),
        ({"audio": np.full(2 * SAMPLES, np.nan, "f4")}, "no finite numbers"),
        ({"audio": np.array([object()])}, "Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_do_not_fit_say_why(
    tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    two = [("ann", "enrolment"), ("bob", "impostor")]
    said = refused(write(tmp_path / "trials.npz", two, **changed))
    assert "the file of trials cannot be read" in said
    assert why in said


def without(role: str) -> list[Row]:
    return [row for row in rows() if row[1] != role]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ([*rows(), ("thief", "Impostor")], "clip 445 has the role 'Impostor'"),
        ([*rows(), ("radio", "impostor")], "'radio' is background and impostor at once"),
        ([*rows(), ("ann", "impostor")], "'ann' is enrolment and held-out and impostor at once"),
        ([*rows(), ("ann", "background")], "'ann' is background and enrolment and held-out at"),
        ([*rows(), ("zoe", "held-out")], "'zoe' has held-out clips and none to enrol"),
        (without("background"), "no clip has the role 'background'"),
        (without("impostor"), "no clip has the role 'impostor'"),
        (without("enrolment"), "'ann' has held-out clips and none to enrol"),
        (without("held-out"), "no clip has the role 'held-out'"),
        (
            [row for row in rows() if row[0] != "dan"],
            "it has 3: ann, bob, cem; needed are 4 owners",
        ),
        ([row for row in rows() if row != ("bob", "held-out")], "'bob' has 0 clips whose role is"),
        (rows(held_out=39), "'ann' has 39 clips whose role is `held-out`"),
        (rows(impostors=279), "'ann' is tried with 279 clips of impostors and 120 of owners"),
    ],
)
def test_what_proves_nothing_is_refused(tmp_path: Path, named: list[Row], told: str) -> None:
    said = refused(write(tmp_path / "trials.npz", named))
    assert "the trials prove nothing" in said
    assert told in said


def test_too_few_say_how_many_are_needed(tmp_path: Path) -> None:
    said = refused(write(tmp_path / "trials.npz", rows(held_out=1)))
    assert "needed are 4 owners, and of each 40 `held-out` clips and 400 of `impostor`s" in said


@pytest.mark.parametrize("other", [0, 10, -1])
def test_a_recording_is_there_once(tmp_path: Path, other: int) -> None:
    """What was learned is recognised by itself, and one trial forty times is one trial."""
    other %= len(rows())
    path = write(tmp_path / "trials.npz", rows())
    with np.load(path) as arrays:
        audio = arrays["audio"].reshape(-1, SAMPLES).copy()
    audio[20] = audio[other]
    first, second = sorted((other, 20))
    said = refused(write(tmp_path / "trials.npz", rows(), audio=audio.ravel()))
    assert f"clips {first} and {second} are the same recording" in said
