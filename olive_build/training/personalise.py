"""A model made its owner's, for several owners, and how well it then tells each from others.

Runs in the training toolchain. What is learned from are an owner's few clips and those of others
that an application ships; what is judged are other phrases of the owner, and voices never heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
OTHER, OWNER = 0, 1


@dataclass(frozen=True)
class Clips:
    """Prepared clips [clips, samples], with the name of each one's speaker and its role.

    A role is enrolment, held-out, background or impostor; owners are who has clips to enrol.
    `batch` clips are scored at once, which is what the graph takes where its batch is fixed.
    """

    inputs: Samples
    speakers: Sequence[str]
    roles: Sequence[str]
    batch: int

    @property
    def owners(self) -> list[str]:
        named = zip(self.speakers, self.roles, strict=True)
        return sorted({speaker for speaker, role in named if role == "enrolment"})

    def rows(self, role: str, speaker: str | None = None) -> npt.NDArray[np.int64]:
        """Return which clips have the role, of all speakers or of one."""
        found = [
            row
            for row, (who, what) in enumerate(zip(self.speakers, self.roles, strict=True))
            if what == role and speaker in (None, who)
        ]
        return np.array(found, np.int64)


def personalise(
    artifacts: Path, train: Train, clips: Clips, *, epochs: int, owners: Sequence[str]
) -> dict[str, Any]:
    """Return the equal error rates: `pooled` over owners at one threshold, and of each `owners`.

    Each owner begins from the artifacts' checkpoint. Raises StepError where the trials lack a role.
    """
    for role in ("enrolment", "held-out", "background", "impostor"):
        if not len(clips.rows(role)):
            raise StepError(
                f"the trials have no clip whose role is '{role}'",
                why="owners learn from `enrolment` and `background`, and are judged on `held-out` "
                "and `impostor`",
                hint="add such clips to the file of trials",
            )
    kept: list[Samples] = []
    others: list[Samples] = []
    found: dict[str, Any] = {}
    for owner in owners:
        session, losses = _learned(artifacts, train, clips, owner, epochs)
        own = _scores(session, clips.inputs[clips.rows("held-out", owner)], clips.batch)
        strangers = np.concatenate(list(_impostors(session, clips, owner)))
        session.close()
        rate = equal_error_rate(own, strangers).as_json()
        found[owner] = {**rate, "steps": len(losses), "loss": [losses[0], losses[-1]]}
        kept.append(own)
        others.append(strangers)
    pooled = equal_error_rate(np.concatenate(kept), np.concatenate(others))
    clips_each = min(len(clips.rows("enrolment", owner)) for owner in owners)
    return {"pooled": pooled.as_json(), "owners": found, "clips_of_an_owner": clips_each}


def _learned(
    artifacts: Path, train: Train, clips: Clips, owner: str, epochs: int
) -> tuple[TrainingSession, list[float]]:
    session = TrainingSession(artifacts)
    rows = np.concatenate([clips.rows("enrolment", owner), clips.rows("background")])
    targets = np.array([OWNER if clips.speakers[row] == owner else OTHER for row in rows], np.int64)
    steps = train_epochs(
        session,
        [clips.inputs[rows]],
        targets,
        batch_size=train.batch_size,
        epochs=epochs,
        seed=train.seed,
    )
    return session, [step.loss for step in steps]


def _impostors(session: TrainingSession, clips: Clips, owner: str) -> Iterator[Samples]:
    """Yield the scores of voices that this owner's model never heard."""
    yield _scores(session, clips.inputs[clips.rows("impostor")], clips.batch)
    for other in clips.owners:
        if other != owner:
            yield _scores(session, clips.inputs[clips.rows("held-out", other)], clips.batch)


def _scores(session: TrainingSession, inputs: Samples, batch_size: int) -> Samples:
    """Return by how much the owner's logit is above the other's, for clips [clips, samples]."""
    found = []
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size]
        _, outputs = session.evaluate([batch], np.zeros(len(batch), np.int64))
        logits = outputs[0]
        found.append(logits[:, OWNER] - logits[:, OTHER])
    return np.concatenate(found)
