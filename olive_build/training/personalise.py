"""A model made its owner's, for several owners, and how well it then tells each from others.

Runs in the training toolchain. What is learned from are an owner's few clips and those of others
that an application ships; what is judged are other phrases of the owner, and voices never heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.proof.equal_error_rate import equal_error_rate
from olive_build.training.loop import train_epochs
from olive_build.training.session import TrainingSession
from olive_build.training.settings import Train

Samples = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
OTHER, OWNER = 0, 1


@dataclass(frozen=True)
class Clips:
    """Prepared clips [clips, samples], with the name of each one's speaker and its role.

    A role is enrolment, held-out, background or impostor; owners are who has clips to enrol.
    `batch` clips are scored at once: with `fixed`, the graph takes exactly that many.
    """

    inputs: Samples
    speakers: Sequence[str]
    roles: Sequence[str]
    batch: int
    fixed: bool = False

    @property
    def owners(self) -> list[str]:
        named = zip(self.speakers, self.roles, strict=True)
        return sorted({speaker for speaker, role in named if role == "enrolment"})

    def rows(self, role: str, speaker: str | None = None) -> Rows:
        """Return which clips have the role, of all speakers or of one."""
        found = [
            row
            for row, (who, what) in enumerate(zip(self.speakers, self.roles, strict=True))
            if what == role and speaker in (None, who)
        ]
        return np.array(found, np.int64)


def personalise(
    artifacts: Path,
    train: Train,
    clips: Clips,
    *,
    epochs: int,
    owners: Sequence[str],
    margin: float,
) -> dict[str, Any]:
    """Return the equal error rates: `pooled` over owners at one threshold, and of each `owners`.

    Beside each stand the shares of own clips refused and of others let in at the `margin`. Each
    owner begins from the artifacts' checkpoint. Raises StepError where a fixed batch cannot be
    filled, and where a score is no number.
    """
    kept: list[Samples] = []
    others: list[Samples] = []
    found: dict[str, Any] = {}
    for owner in owners:
        session, losses = _learned(artifacts, train, clips, owner, epochs)
        own = _scores(session, clips, clips.rows("held-out", owner))
        strangers = _scores(session, clips, _others(clips, owner))
        session.close()
        _check_numbers(owner, losses, own, strangers)
        rate = _rates(own, strangers, margin)
        found[owner] = {**rate, "steps": len(losses), "loss": [losses[0], losses[-1]]}
        kept.append(own)
        others.append(strangers)
    pooled = _rates(np.concatenate(kept), np.concatenate(others), margin)
    clips_each = min(len(clips.rows("enrolment", owner)) for owner in owners)
    return {
        "pooled": pooled,
        "owners": found,
        "clips_of_an_owner": clips_each,
        "margin": margin,
    }


def _rates(own: Samples, strangers: Samples, margin: float) -> dict[str, Any]:
    rates = {
        "refused_at_margin": float(np.mean(own <= margin)),
        "let_in_at_margin": float(np.mean(strangers > margin)),
    }
    return equal_error_rate(own, strangers).as_json() | rates


def _learned(
    artifacts: Path, train: Train, clips: Clips, owner: str, epochs: int
) -> tuple[TrainingSession, list[float]]:
    rows = np.concatenate([clips.rows("enrolment", owner), clips.rows("background")])
    if clips.fixed and len(rows) < clips.batch:
        raise StepError(
            f"the trials have {len(rows)} clips for '{owner}' to learn from",
            why=f"the graphs take {clips.batch} at once, the owner's and those of the background",
            hint="add `background` clips, or fix a smaller batch with `export.shapes`",
        )
    session = TrainingSession(artifacts)
    targets = np.array([OWNER if clips.speakers[row] == owner else OTHER for row in rows], np.int64)
    steps = train_epochs(
        session,
        [clips.inputs[rows]],
        targets,
        batch_size=train.batch_size,
        epochs=epochs,
        seed=train.seed,
        drop_last=clips.fixed,
    )
    return session, [step.loss for step in steps]


def _others(clips: Clips, owner: str) -> Rows:
    """Return the clips of voices that this owner's model never heard."""
    others = [clips.rows("held-out", other) for other in clips.owners if other != owner]
    return np.concatenate([clips.rows("impostor"), *others])


def _scores(session: TrainingSession, clips: Clips, rows: Rows) -> Samples:
    """Return by how much the owner's logit is above the other's, for the clips in `rows`."""
    found = []
    for start in range(0, len(rows), clips.batch):
        taken = rows[start : start + clips.batch]
        # A fixed batch is filled up with clips that are then left out.
        given = np.resize(taken, clips.batch) if clips.fixed else taken
        _, outputs = session.evaluate([clips.inputs[given]], np.zeros(len(given), np.int64))
        logits = outputs[0][: len(taken)]
        found.append(logits[:, OWNER] - logits[:, OTHER])
    return np.concatenate(found)


def _check_numbers(owner: str, losses: Sequence[float], own: Samples, strangers: Samples) -> None:
    bad = int((~np.isfinite(own)).sum() + (~np.isfinite(strangers)).sum())
    if not bad:
        return
    step = next((n for n, loss in enumerate(losses, 1) if not np.isfinite(loss)), None)
    raise StepError(
        f"the model of '{owner}' gives no finite number for {bad} of {len(own) + len(strangers)} "
        "clips",
        where=f"personalisation, step {step}: loss {losses[step - 1]}" if step else None,
        why=f"it was trained for {len(losses)} steps, and its weights are no numbers any more",
        hint="write a smaller `lr` in `train.optimizer`",
    )
