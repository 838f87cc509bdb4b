"""What `olive-build train` writes: its folder, and the record by which a training goes on exactly.

The folder is written whole or not at all, and never over other files.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.training.verb.bundle import TrainingBundle
from olive_build.untrusted import followed, read_bytes

RECORD, CHECKPOINT, INFERENCE, PLOT = "training.json", "checkpoint", "inference.onnx", "loss.svg"
OURS = {RECORD, CHECKPOINT, INFERENCE, PLOT}
RECORD_VERSION = 1
# The largest record that is read: it has the loss of each step.
MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Settings:
    """How it is trained. `epochs` is how many more."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    hold_out: float


@dataclass(frozen=True)
class Typed:
    """The settings that were typed; None is left to an earlier training or the recipe."""

    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    seed: int | None
    hold_out: float | None


@dataclass(frozen=True)
class Judgement:
    """What was found of the held-out examples, after so many epochs and steps.

    The rest is as `training.held_out.Judged` has it.
    """

    epoch: int
    step: int
    loss: float
    accuracy: float | None
    shares: Sequence[float | None] = ()
    equal_error_rate: float | None = None


@dataclass
class History:
    """The loss of each step, how many steps there were at the end of each epoch, the judgements."""

    losses: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    judged: list[Judgement] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.ends)

    def take(self, event: Mapping[str, Any]) -> None:
        """Add what an event of `training.train_child` tells."""
        if "step" in event:
            self.losses.append(event["loss"])
        elif "saved" in event:
            self.ends.append(len(self.losses))
        elif "evaluated" in event:
            found = event["evaluated"]
            # A run that goes on judges again what the last one ended with.
            if not any(item.epoch == found["epoch"] for item in self.judged):
                self.judged.append(Judgement(step=len(self.losses), **found))

    def whole(self) -> History:
        """Return what belongs to epochs whose checkpoint was saved."""
        steps = self.ends[-1] if self.ends else 0
        judged = [item for item in self.judged if item.epoch <= self.epochs]
        return History(self.losses[:steps], self.ends, judged)


@dataclass(frozen=True)
class Earlier:
    """What a checkpoint's own record says, or nothing: the beginning."""

    history: History
    settings: Settings | None = None
    planned: int = 0
    data: str | None = None


def earlier(checkpoint: Path | None, bundle: TrainingBundle) -> Earlier:
    """Return how the training of a checkpoint went, from the training.json beside it.

    Without that file it is a beginning: such a checkpoint comes from a device. Raises UsageError
    for a checkpoint that is not there, or belongs to other graphs.
    """
    if checkpoint is None:
        return Earlier(History())
    if not checkpoint.is_file():
        raise UsageError(
            "there is no such checkpoint",
            where=str(checkpoint),
            hint="give the file `checkpoint` of an earlier training, such as "
            f"{bundle.manifest.recipe}-trained/checkpoint",
        )
    found = read_record(checkpoint.parent / RECORD)
    if found is None:
        return Earlier(History())
    try:
        digests, settings = found["bundle"]["graphs"], Settings(**found["settings"])
        history = History(
            found["history"]["losses"],
            found["history"]["ends"],
            [Judgement(**item) for item in found["history"]["judged"]],
        )
        read = Earlier(history, settings, int(found["epochs_planned"]), found["data"]["digest"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the {RECORD} beside the checkpoint is damaged",
            where=str(checkpoint.parent / RECORD),
            why=f"{type(error).__name__}: {error}",
            hint="remove it, and training goes on from the checkpoint without its history",
        ) from error
    if digests != bundle.digests:
        raise UsageError(
            "the checkpoint belongs to another bundle",
            where=str(checkpoint),
            why=f"it was trained with {found['bundle']['recipe']} for {found['bundle']['target']}, "
            "whose graphs are not those of this bundle",
            hint=f"give the bundle that it was trained with, or train {bundle.folder} anew",
        )
    return read


def settle(bundle: TrainingBundle, typed: Typed, before: Earlier) -> Settings:
    """Return the settings: what was typed, else the earlier training's, else the recipe's.

    Where an earlier training was stopped, the epochs that it lacks are done by default. Raises
    UsageError for a batch that the graphs do not take.
    """
    training = bundle.training
    settings = before.settings or Settings(
        training.epochs, training.first_batch, training.optimizer.lr, training.seed, 0.2
    )
    left = before.planned - before.history.epochs
    given = {name: value for name, value in asdict(typed).items() if value is not None}
    settings = replace(settings, **{"epochs": left if left > 0 else training.epochs, **given})
    if training.fixed_batch and settings.batch_size != training.fixed_batch:
        raise UsageError(
            f"the bundle's graphs do not take batches of {settings.batch_size}",
            where=str(bundle.folder),
            why=f"its recipe fixed the batch at {training.fixed_batch}",
            hint="leave --batch-size away, or build the bundle with a free batch",
        )
    return settings


def record(
    bundle: TrainingBundle,
    settings: Settings,
    history: History,
    *,
    planned: int,
    data: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> str:
    """Return the text of training.json."""
    found = {
        "training_version": RECORD_VERSION,
        "bundle": {
            "recipe": bundle.manifest.recipe,
            "target": bundle.manifest.target,
            "graphs": bundle.digests,
        },
        "settings": asdict(settings),
        "epochs_planned": planned,
        "data": dict(data),
        "history": asdict(history),
        "figures": dict(figures),
    }
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def check_output(folder: Path, bundle: Path) -> None:
    """Raise UsageError for a folder that must not be written: in the bundle, or somebody's."""
    if followed(folder) == followed(bundle) or followed(bundle) in followed(folder).parents:
        raise UsageError(
            "the output would lie inside the bundle",
            where=str(folder),
            why="a bundle holds what its manifest lists, and nothing else",
            hint="name a folder elsewhere with --output",
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            "the output is no folder",
            where=str(folder),
            why="there is a file or a link of that name",
            hint="name another with --output",
        )
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there and (there - OURS or read_record(folder / RECORD) is None):
        strange = sorted(there - OURS) or [f"no {RECORD} of ours"]
        raise UsageError(
            "the output folder is not empty",
            where=str(folder),
            why=f"it holds {', '.join(strange[:3])}; only an earlier training is replaced",
            hint="name an empty or a new folder with --output, or empty this one",
        )


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what `train` wrote of a training, or None where there is no such file of ours."""
    try:
        found = json.loads(read_bytes(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    is_ours = isinstance(found, dict) and found.get("training_version") == RECORD_VERSION
    return found if is_ours else None


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Give a folder beside the output, to be renamed into its place; it is removed in the end.

    Raises UsageError where it cannot be made.
    """
    path = output.absolute()
    work = path.parent / f".{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        work.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            "the output cannot be written",
            where=str(output),
            why=error.strerror or str(error),
            hint="name another folder with --output",
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def put_in_place(files: dict[str, Path | str], work: Path, output: Path) -> None:
    """Make the output folder of files that lie in the work folder, or of texts, by name.

    What was there is replaced at once. Raises UsageError where it cannot be written.
    """
    whole = work / "whole"
    try:
        whole.mkdir()
        for name, content in files.items():
            if isinstance(content, Path):
                content.replace(whole / name)
            else:
                (whole / name).write_text(content, encoding="utf-8")
        if output.exists():
            output.rename(work / "before")
        whole.rename(output)
    except OSError as error:
        before = work / "before"
        if before.exists() and not output.exists():
            before.rename(output)
        raise UsageError(
            "the output cannot be written",
            where=str(output),
            why=error.strerror or str(error),
            hint="free some space, or name another folder with --output",
        ) from error
