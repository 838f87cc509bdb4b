"""Makes a toolchain's environment once for a machine, and says how to run a module in it."""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from olive_build.engine.locks import try_lock
from olive_build.errors import StepError
from olive_build.toolchains import environments
from olive_build.toolchains.environments import TOOLCHAINS, folder_of, is_inside, pins, python_in

Report = Callable[[str], object]
_POLL_SECONDS = 0.2
_RUN = Path(__file__).with_name("run.py")

version_of = environments.version_of


def is_ready(toolchain: str) -> bool:
    """Whether the toolchain can be used as it is; looks at names alone, in milliseconds."""
    if is_inside(toolchain):
        return True
    folder = folder_of(toolchain)
    stamped = environments.read_stamp(folder) is not None
    return stamped and not environments.missing_from(toolchain, folder)


def python_of(toolchain: str, report: Report | None = None) -> Path:
    """Return the toolchain's Python, and make its environment first if there is none.

    One that lacks something is made anew. `report` gets a line before anything that takes time.
    Raises StepError, and leaves nothing behind, if it cannot be made.
    """
    if is_inside(toolchain):
        return Path(sys.executable)
    if not is_ready(toolchain):
        with _turn(toolchain, report or _silent):
            if not is_ready(toolchain):  # another build made it meanwhile
                _make(toolchain, report or _silent)
    return python_in(folder_of(toolchain))


def make_again(toolchain: str, report: Report) -> None:
    """Make the environment anew, whatever is there; raises as `python_of`."""
    with _turn(toolchain, report):
        _make(toolchain, report)


def command(toolchain: str, module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in the toolchain.

    Nothing but this package and the toolchain's own is visible there. Makes the environment where
    there is none, as `python_of`.
    """
    # -P: neither the script's folder nor the current one may shadow a library.
    return [str(python_of(toolchain)), "-P", str(_RUN), module, *arguments]


def _silent(_: str) -> None:
    """Report nothing."""


@contextmanager
def _turn(toolchain: str, report: Report) -> Iterator[None]:
    """Hold the lock of an environment, so that two builds do not make it; say so if one waits."""
    folder = folder_of(toolchain)
    path = folder.with_name(f"{folder.name}.lock")
    with _writing(folder.parent):
        lock = try_lock(path)
        if lock is None:
            report(f"waiting for another build, which makes the {toolchain} toolchain")
        while lock is None:
            time.sleep(_POLL_SECONDS)
            lock = try_lock(path)
    with lock:
        yield


def _make(toolchain: str, report: Report) -> None:
    """Make the environment under another name and move it into place: whole or not at all.

    A process that outlived a killed build may still write, but never into what is used.
    """
    from olive_build.toolchains.install import install

    folder, known = folder_of(toolchain), TOOLCHAINS[toolchain]
    report(
        f"making the {toolchain} toolchain, once for this machine: {known.leads} "
        f"{pins(toolchain)[known.leads]}, {known.download_mb} MB to download, "
        f"{known.size_mb} MB in {folder}"
    )
    started = time.perf_counter()
    with _writing(folder.parent):
        for leftover in folder.parent.glob(f".{folder.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        attempt = folder.with_name(f".{folder.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        try:
            install(toolchain, attempt)
            environments.write_stamp(toolchain, attempt)
            _replace(folder, attempt)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
    report(f"made the {toolchain} toolchain in {time.perf_counter() - started:.0f} s")


def _replace(folder: Path, attempt: Path) -> None:
    """Move a finished environment into place; what lay there had something missing."""
    damaged = attempt.with_name(f"{attempt.name}-damaged")
    if folder.exists():
        folder.rename(damaged)
    attempt.rename(folder)
    shutil.rmtree(damaged, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn the system's errors into ones that say which folder, and what to do."""
    try:
        yield
    except OSError as error:
        raise StepError(
            "the toolchains' folder cannot be written",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            hint=f"free some space, or set {environments.VARIABLE} to a folder that can be written",
        ) from error
