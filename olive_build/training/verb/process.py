"""The process that trains: started in the training toolchain, heard, and ended in any case."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from olive_build import errors
from olive_build.errors import OliveBuildError, StepError
from olive_build.processes import environment
from olive_build.toolchains import provision

TOOLCHAIN, MODULE = "training", "olive_build.training.train_child"
# Of a crash, the end of what it wrote.
LAST_LINES = 20


def train(request: Mapping[str, Any], log: Path) -> Generator[dict[str, Any], None, None]:
    """Yield the events of `training.train_child` as they come; `log` gets what it writes besides.

    Closing the iterator ends the process. Raises the child's own error, and StepError with the end
    of the log where it crashed.
    """
    command = provision.command(TOOLCHAIN, MODULE)
    with log.open("wb") as errors_to:
        # A session of its own: Ctrl-C is for us, who know what to keep.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors_to,
            text=True,
            encoding="utf-8",
            env=environment(),
            start_new_session=True,
        )
    assert process.stdin and process.stdout
    done = False
    try:
        with contextlib.suppress(BrokenPipeError):  # a crash at its start, told below
            process.stdin.write(json.dumps(request))
            process.stdin.close()
        for line in process.stdout:
            event = json.loads(line)
            if "error" in event:
                raise _theirs(event["error"])
            done = "done" in event
            yield event
        if process.wait() or not done:
            raise _crash(process.returncode, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _theirs(found: Mapping[str, Any]) -> OliveBuildError:
    """Return the child's error as its own kind."""
    kind = getattr(errors, str(found["kind"]), StepError)
    error = kind(found["what"], where=found["where"], why=found["why"], hint=found["hint"])
    assert isinstance(error, OliveBuildError)
    return error


def asked(
    module: str, *words: str, seconds: float | None = None
) -> tuple[dict[str, Any] | None, str]:
    """Return what a module of the toolchain prints at its end as JSON.

    Where it fails, or has not ended after so many seconds, it is None and why: how it ended, and
    its error or the last that it wrote.
    """
    try:
        done = subprocess.run(
            provision.command(TOOLCHAIN, module, *words),
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        return None, f"it gives no answer within {error.timeout:.0f} seconds"
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if not done.returncode and lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found, ""
    wrote = [line for line in done.stderr.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(wrote) if line.startswith("error: ")]
    said = wrote[starts[-1] :] if starts else wrote[-LAST_LINES:]
    return None, "\n".join([_how(done.returncode), *said])


def _crash(code: int, log: Path) -> StepError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return StepError(
        "training stopped in the middle",
        why="\n".join([_how(code), *lines]),
        hint="train in smaller batches where memory ran out; otherwise `olive-build verify` says "
        "whether the bundle still does what it did when it was built",
    )


def _how(code: int) -> str:
    if code >= 0:
        return f"its process ended with code {code}"
    name = signal.Signals(-code).name
    memory = ", as it is when memory runs out" if -code == signal.SIGKILL else ""
    return f"its process was killed by {name}{memory}"
