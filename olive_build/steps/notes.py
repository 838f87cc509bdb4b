"""What a step left out, told beside its model: a default with nothing to do, a miniature's lack."""

from __future__ import annotations

from pathlib import Path

from olive_build.errors import StepError

NOTE = "note.txt"
# Before a pattern that need not match: a miniature has not all of its model's layers.
IF_THERE = "if there: "


class NothingToDo(StepError):
    """A step found nothing to do; users are shown it as a StepError."""


def note(out: Path, text: str) -> None:
    """Add a line to what is told of the step that writes into `out`."""
    with (out / NOTE).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def leave_out(error: NothingToDo, source: Path, out: Path, *, asked: bool) -> None:
    """Write the graph in the folder `source` into `out` as it is, and note why nothing was done.

    Raises StepError instead where the recipe `asked` for the step.
    """
    if asked:
        raise StepError(error.what, where=error.where, why=error.why, hint=error.hint) from error
    from olive_build.onnx_files.data_files import copy_model
    from olive_build.steps.model_check import MODEL

    copy_model(source / MODEL, out)
    note(out, f"left out: {error.what} ({error.why})")


def notes_in(folder: Path) -> tuple[str, ...]:
    """Return what a step told of the artifact in `folder`, a line each."""
    path = folder / NOTE
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
