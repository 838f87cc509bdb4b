"""Folders that a program joins (`extensions`): joining them, and what is wrong with their files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from olive_build import rooms
from olive_build.errors import UsageError, first_line


def join(folder: Path) -> None:
    """Join a folder's rooms to ours. Raises UsageError where that cannot be."""
    try:
        rooms.extend(folder)
    except ValueError as error:
        raise UsageError(
            "an extension cannot be joined",
            where=str(folder),
            why=str(error),
            hint="correct `extensions` in the program that joins it; where a name is taken, give "
            "the file another",
        ) from None


def fault_of(error: BaseException) -> UsageError | None:
    """Return what is wrong with a joined file that could not be imported; None if that is not it.

    That is a file that is not valid Python, that raises when it is imported, or that lacks what
    its room asks of each file.
    """
    hint = "correct the file, or leave its folder out of `extensions`"
    what = "a file of an extension cannot be imported"
    match error:
        case SyntaxError(filename=str(path)) if _is_joined(path):
            where = f"{path}, line {error.lineno}"
            what = "a file of an extension is not valid Python"
            return UsageError(what, where=where, why=error.msg, hint=hint)
        case AttributeError(obj=ModuleType(__file__=str(path))) if _is_joined(path):
            why = f"the room in which it lies needs `{error.name}` of each file"
            return UsageError(f"a file of an extension has no `{error.name}`", where=path, why=why)
    from traceback import extract_tb  # half a millisecond that nobody without an error need pay

    frames = [frame for frame in extract_tb(error.__traceback__) if _is_joined(frame.filename)]
    if all(frame.name != "<module>" for frame in frames):
        return None
    where = f"{frames[-1].filename}, line {frames[-1].lineno}"
    why = f"{type(error).__name__}: {first_line(error)}"
    return UsageError(what, where=where, why=why, hint=hint)


def _is_joined(path: str) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in rooms.extensions())
