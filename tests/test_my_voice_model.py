"""The committed model that learns its owner's voice, and the trials that proofs of it run on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from olive_build.families.audio_classification.examples import read_examples
from olive_build.families.audio_classification.spec import inspect
from olive_build.families.audio_classification.trials import read_trials
from olive_build.proof.audio import StoredClips

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "recipes" / "my-voice"
MODEL = FOLDER / "model"
SCRIPT = FOLDER / "trials.py"
PARAMETERS = 729_899
VOICES = 699
OWNERS = ("owner-000", "owner-001", "owner-002", "owner-Andrea", "owner-kaukovalta")


@pytest.fixture(scope="module")
def trials() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "trials.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def of(trials: dict[str, np.ndarray], what: str, role: str) -> set[str]:
    return set(trials[what][trials["roles"] == role].tolist())


def write(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_model_is_small_and_in_fp16() -> None:
    path = MODEL / "model.safetensors"
    with safe_open(str(path), framework="np") as weights:
        types = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert types == {"F16"}
    assert path.stat().st_size <= 2 * PARAMETERS + 20_000
    found = load_file(path)
    assert sum(weight.size for weight in found.values()) == PARAMETERS
    assert all(np.isfinite(weight).all() for weight in found.values())


def test_the_family_reads_it_with_a_class_for_each_voice_of_pretraining() -> None:
    facts = inspect(MODEL)
    assert (facts.sampling_rate, facts.normalize, facts.shortest) == (16_000, True, 1_360)
    assert len(facts.labels) == len(set(facts.labels)) == VOICES
    assert all(label.startswith("pretraining-") for label in facts.labels)
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    assert config["classifier_proj_size"] == 128 and config["num_hidden_layers"] == 3


def test_the_clips_are_seconds_that_a_phone_could_have_recorded(
    trials: dict[str, np.ndarray],
) -> None:
    clips = list(StoredClips(trials["audio"], trials["lengths"]))
    assert {len(clip) for clip in clips} == {16_000}
    assert all(0.01 < np.abs(clip).max() <= 1 for clip in clips)
    assert len({clip.tobytes() for clip in clips}) == len(clips)


def test_every_role_has_its_clips(trials: dict[str, np.ndarray]) -> None:
    assert Counter(trials["roles"].tolist()) == {
        "impostor": 240,
        "held-out": 200,
        "background": 64,
        "enrolment": 40,
    }
    assert of(trials, "speakers", "enrolment") == set(OWNERS)
    named = Counter(zip(trials["speakers"].tolist(), trials["roles"].tolist(), strict=True))
    for owner in OWNERS:
        assert named[owner, "enrolment"] == 8 and named[owner, "held-out"] == 40
        strangers = sum((trials["roles"] == role).sum() for role in ("impostor", "held-out"))
        assert strangers - named[owner, "held-out"] == 400
    assert len(of(trials, "speakers", "impostor")) == 120
    assert len(of(trials, "speakers", "background")) == 64


def test_no_voice_is_on_two_sides(trials: dict[str, np.ndarray]) -> None:
    owners, impostors = (of(trials, "speakers", role) for role in ("enrolment", "impostor"))
    background = of(trials, "speakers", "background")
    assert of(trials, "speakers", "held-out") == owners
    assert not owners & impostors and not (owners | impostors) & background
    pretraining = set(inspect(MODEL).labels)
    assert background <= pretraining
    # A voice is called by its part and a number, or by its part and espeak-ng's own name for it.
    own_names = {name.partition("-")[2] for name in pretraining}
    trained = {name for name in own_names if not name.isdigit()}
    tried = {name.partition("-")[2] for name in owners | impostors}
    assert trained and not {name for name in tried if not name.isdigit()} & trained


def test_what_is_judged_was_said_by_nobody_who_was_learned_from(
    trials: dict[str, np.ndarray],
) -> None:
    learned = of(trials, "texts", "enrolment") | of(trials, "texts", "background")
    judged = of(trials, "texts", "held-out")
    assert len(judged) == 40 and not judged & learned
    assert of(trials, "texts", "impostor") <= judged
    assert of(trials, "texts", "enrolment") <= of(trials, "texts", "background")


def test_the_build_takes_the_trials() -> None:
    found = read_trials(FOLDER / "trials.npz", inspect(MODEL).training_data({}))
    assert found.inputs.shape == (544, 16_000)


@pytest.mark.parametrize("owner", [None, "owner-kaukovalta"])
def test_the_script_writes_clips_that_a_bundle_learns_from(
    tmp_path: Path, trials: dict[str, np.ndarray], owner: str | None
) -> None:
    done = write("--write", str(tmp_path / "clips"), *(("--owner", owner) if owner else ()))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"72 clips in {tmp_path / 'clips'}\n"
    described = inspect(MODEL).training_data({}) | {"normalize": False}
    labels = ("other", "owner")
    found = read_examples(tmp_path / "clips", described, MODEL, labels, "cross-entropy")
    clips = found.inputs["input_values"]
    assert clips.shape == (72, 16_000) and found.targets.tolist() == [0] * 64 + [1] * 8
    whose = trials["roles"] == "background"
    mine = (trials["roles"] == "enrolment") & (trials["speakers"] == (owner or OWNERS[0]))
    stored = list(StoredClips(trials["audio"], trials["lengths"]))
    rows = [*np.flatnonzero(whose), *np.flatnonzero(mine)]
    np.testing.assert_allclose(clips, np.stack([stored[row] for row in rows]), atol=2e-5)


def test_an_owner_that_is_none_is_told_who_there_is(tmp_path: Path) -> None:
    done = write("--write", str(tmp_path / "clips"), "--owner", "me")
    assert done.returncode == 2 and not (tmp_path / "clips").exists()
    assert "there is no owner me; there are owner-000, owner-001" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_says_at_which_margin_errors_are_equal_and_what_the_documented_one_does() -> None:
    code = (
        "import numpy as np, train\n"
        "own, others = np.array([0.5, 0.8, 0.9, 1.0]), np.array([0.1, 0.2, 0.3, 0.6, 0.7])\n"
        "print(train.judged(own, others))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # From 0.7 on one of four own clips is refused, and one of five others is let in.
    assert done.stdout == (
        "equal error rate 0.2250 at a margin of 0.70; at 0.69 refused 0.2500, let in 0.2000\n"
    )
