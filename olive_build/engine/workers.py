"""The parent's side of worker processes: start, ask, keep warm, kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from olive_build import errors, rooms
from olive_build.engine.fingerprint import Description
from olive_build.engine.reach import unreached
from olive_build.engine.registry import toolchains, worker_kind
from olive_build.engine.worker import ENVIRONMENT
from olive_build.errors import OliveBuildError, StepError
from olive_build.processes import environment

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no SIGKILL
_PACKAGE_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """How a step ran. What it measured is keyed by the machine that it ran on."""

    description: Description
    seconds: float
    peak_bytes: int | None


class Worker:
    """One worker process, leader of its own process group."""

    def __init__(self, kind: str, log: Path, scratch: Path) -> None:
        """Start it; what it says before its first step goes to `log`.

        `scratch` is its folder for temporary files and for those that libraries write into the
        current one. It lives as long as the worker, as libraries remember such paths.
        Must be called by the thread that outlives the worker: Linux kills it with that thread.
        """
        self.kind, self._scratch = kind, scratch
        command, path = _command(kind)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={
                    **environment(),
                    **ENVIRONMENT,
                    "PYTHONPATH": path,
                    **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)),
                },
                cwd=scratch,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether the process still runs; ask only when no call is under way, as it reaps."""
        return self._process.poll() is None

    def run(
        self,
        step: Description,
        inputs: Mapping[str, str],
        out: Path,
        log: Path,
        slot: str,
        on_told: Callable[[str], None],
    ) -> Ran:
        """Run a step. The only way in which one is run, wherever the worker is.

        What it tells meanwhile is given to `on_told`. Raises what the step raised if that is an
        OliveBuildError, else StepError; also if the process dies, which then is no longer `alive`.
        """
        what = f"step '{step.name}' failed for {slot}"
        asked = {"kind": step.kind, "fields": step.fields, "inputs": dict(inputs)}
        reply = self._exchange({**asked, "out": str(out), "log": str(log)}, on_told)
        if reply is None:
            raise self._death(what, str(log))
        if "error" in reply:
            raise _rebuild(reply["error"], str(log))
        if "raised" in reply:
            hint = "the end of the log has the traceback"
            raise StepError(what, where=str(log), why=reply["raised"], hint=hint)
        unseen = unreached(step.code, reply["modules"])
        if unseen:
            raise StepError(
                what,
                where=str(log),
                why=f"it ran {unseen[0]}, which its key does not hold: a change there would go "
                "unseen",
                hint="report it; whoever wrote the step imports that module by its name",
            )
        by = replace(step, machine=reply["machine"])
        return Ran(by, reply["seconds"], reply["peak_bytes"])

    def end(self) -> None:
        """Kill the process and all that it started, and wait until it is gone."""
        self.signal(_KILL)
        self._process.wait()
        self._clear()

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        try:
            if os.name == "posix":
                os.killpg(self._process.pid, number)
            else:
                self._process.kill()
        except (ProcessLookupError, PermissionError):
            pass

    def _clear(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what is left in its buffer has no reader any more
                    pipe.close()

    def _exchange(
        self, request: dict[str, Any], on_told: Callable[[str], None]
    ) -> dict[str, Any] | None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            reply: dict[str, Any] = json.loads(self._process.stdout.readline())
            while "told" in reply:
                on_told(reply["told"])
                reply = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            return None
        return reply

    def _death(self, what: str, log: str) -> StepError:
        """Describe a process that went away in the middle of a step, and reap it."""
        peak = ""
        if os.name == "posix":
            self.signal(_KILL)  # what it started; a zombie keeps its own status
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            size = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            peak = f" after using {size / 1e6:.0f} MB at most"
        code = self._process.wait()
        self._clear()
        if code >= 0:
            return StepError(what, where=log, why=f"its process ended with status {code}{peak}")
        name = signal.Signals(-code).name
        hint = "see the end of the log"
        if name == "SIGKILL":
            hint = "probably the system ran out of memory: try --jobs 1, or close other programs"
        return StepError(what, where=log, why=f"its process died of {name}{peak}", hint=hint)


def _command(kind: str) -> tuple[list[str], str]:
    """Return the command that starts a worker of the kind, and its PYTHONPATH."""
    module, toolchain = "olive_build.engine.worker", worker_kind(kind).toolchain
    joined = [str(folder) for folder in rooms.extensions()]
    if toolchain:  # it sees this package and its own libraries, never those of PYTHONPATH
        return toolchains().command(toolchain, module, kind, *joined), ""
    path = [str(_PACKAGE_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    # -P: a file in the user's folder must not shadow a library
    command = [sys.executable, "-P", "-m", module, kind, *joined]
    return command, os.pathsep.join(os.path.abspath(folder) for folder in path if folder)


def _rebuild(data: dict[str, Any], log: str) -> OliveBuildError:
    kind = getattr(errors, str(data["kind"]), StepError)
    where = data["where"] or log
    error: OliveBuildError = kind(data["what"], where=where, why=data["why"], hint=data["hint"])
    return error


class Pool:
    """Worker processes, started when needed and kept warm until the pool ends."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []

    def take(self, kind: str, log: Path, new_folder: Callable[[], Path]) -> Worker:
        """Return an idle worker of the kind, or start one."""
        self._idle = [worker for worker in self._idle if worker.alive]
        worker = next((idle for idle in self._idle if idle.kind == kind), None)
        if worker is None:
            worker = Worker(kind, log, new_folder())
        else:
            self._idle.remove(worker)
        self._busy.append(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """Keep the worker for the next step, unless it died."""
        self._busy.remove(worker)
        if worker.alive:
            self._idle.append(worker)

    def close(self, grace_seconds: float = 0.0) -> None:
        """End all workers with all that they started; busy ones get the grace to tidy up."""
        for worker in self._busy:
            worker.signal(signal.SIGTERM)
        for worker in self._idle:
            worker.end()
        if self._busy:
            time.sleep(grace_seconds)
        for worker in self._busy:
            worker.signal(_KILL)  # the thread that waits for its reply reaps it
        self._idle, self._busy = [], []
