"""What happens during a run, as values; how it is shown is the command line's business."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from olive_build.engine.explain import Reason
from olive_build.engine.store import Artifact
from olive_build.errors import OliveBuildError
from olive_build.values import dataclass

Status = Literal["cached", "ran", "failed", "skipped", "not started"]


@dataclass(frozen=True)
class Outcome:
    """How a node ended."""

    id: str
    slot: str
    status: Status
    artifact: Artifact | None = None
    """None also for a cached node whose files were removed and are not needed."""
    seconds: float = 0.0
    """What the step took when it ran, be that now or before."""
    peak_bytes: int | None = None
    reasons: tuple[Reason, ...] = ()
    error: OliveBuildError | None = None
    log: Path | None = None
    key: str | None = None
    """None if an input's digest was never known."""
    blocked_by: str | None = None
    """Of a skipped node: the slot of what failed."""

    @property
    def size_bytes(self) -> int:
        """Size of the artifact's files together, 0 without one."""
        return self.artifact.size_bytes if self.artifact else 0

    @property
    def reason(self) -> Reason | None:
        """The first reason for which it ran, or was found up to date."""
        return self.reasons[0] if self.reasons else None


@dataclass(frozen=True)
class RunStarted:
    """So many nodes will be done, be it found or made."""

    steps: int


@dataclass(frozen=True)
class StillRunning:
    """A moment has passed in which nothing else happened."""


@dataclass(frozen=True)
class StepStarted:
    """A worker got the step."""

    slot: str
    kind: str
    reason: Reason | None


@dataclass(frozen=True)
class StepTold:
    """A step that runs says what it does, or why it takes longer."""

    slot: str
    text: str


@dataclass(frozen=True)
class StepFinished:
    """A node is done: cached, ran, failed, skipped or not started."""

    outcome: Outcome


@dataclass(frozen=True)
class NotReproducible:
    """A step gave other bytes than before for the same key; the new ones count from now on."""

    slot: str
    key: str
    files: tuple[str, ...]
    """Files that differ, are new or are gone."""


@dataclass(frozen=True)
class Waiting:
    """Another build is making this; its result will be used."""

    slot: str
    key: str


@dataclass(frozen=True)
class Provisioning:
    """A toolchain that steps need is being made, or has been."""

    text: str


Event = (
    RunStarted
    | StillRunning
    | StepStarted
    | StepTold
    | StepFinished
    | NotReproducible
    | Waiting
    | Provisioning
)
