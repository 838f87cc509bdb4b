"""The folder that `olive-build train` writes: whole or not at all, never over other files."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.untrusted import followed, read_bytes

RECORD, CHECKPOINT, INFERENCE, PLOT = "training.json", "checkpoint", "inference.onnx", "loss.svg"
OURS = {RECORD, CHECKPOINT, INFERENCE, PLOT}
RECORD_VERSION = 1
# The largest record that is read: it has the loss of each step.
MOST_BYTES = 1 << 28


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
