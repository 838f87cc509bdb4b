"""Contestants that are timed: their processes, which answer JSON lines, and limits on time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.errors import StepError
from olive_build.processes import environment

CHILD = (sys.executable, "-m", "olive_build.steps.latency_child")


@dataclass(frozen=True)
class Contestant:
    """What is timed: `kind` is onnxruntime (a file), pytorch-text or pytorch-tokens (a folder).

    `module` is the family's: `sample`, which feeds a file, or `torch_side`, which loads a folder.
    `command` starts its process, and `more` are fields of the line that a process of another
    project's environment reads first.
    """

    name: str
    kind: str
    path: str
    module: str = ""
    command: tuple[str, ...] = CHILD
    more: tuple[tuple[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the first line that the contestant's process reads."""
        own = {"name": self.name, "kind": self.kind, "path": self.path, "module": self.module}
        joined = [str(folder) for folder in rooms.extensions()]
        return own | {"rooms": joined} | dict(self.more)


@dataclass(frozen=True)
class Several:
    """How the files of a layout are run as one: by the family's module `session`.

    `parts` are the graphs that prepare what it takes and gives, `options` what the recipe asks for.
    """

    session: str
    parts: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    def contestant(
        self, name: str, inputs: Mapping[str, Path], prefix: str, file: str, sample: str
    ) -> Contestant:
        """Return the contestant that runs a step's inputs `prefix.<name of a file>` as one."""
        files = files_of(inputs, prefix, file)
        more = {
            "session": self.session,
            "files": {key: str(path) for key, path in files.items()},
            "parts": {key: str(inputs[key] / file) for key in self.parts},
            "source": str(inputs["source"]),
            "options": dict(self.options),
        }
        first = str(next(iter(files.values())))
        return Contestant(name, "onnxruntime", first, sample, more=tuple(more.items()))


def files_of(inputs: Mapping[str, Path], prefix: str, file: str) -> dict[str, Path]:
    """Return the files of a layout that a step gets as the inputs `prefix.<name of a file>`."""
    start = f"{prefix}."
    found = {name: path for name, path in inputs.items() if name.startswith(start)}
    return {name.removeprefix(start): path / file for name, path in found.items()}


def contestant_for(name: str, model: Path, sample: str) -> Contestant:
    """Return the contestant that runs an ONNX or ORT file on a family's samples."""
    return Contestant(name, "onnxruntime", str(model), sample)


@dataclass(frozen=True)
class TimeLimit:
    """A limit on the first contestant's time.

    `what` is `latency` or `load`. `against` is the contestant whose time it is a multiple of; None
    makes it milliseconds. It concerns one length in tokens and one thread count, or all of those
    where they are None.
    """

    what: str
    against: str | None
    ceiling: float
    tokens: int | None = None
    threads: int | None = None

    def text(self) -> str:
        """Return what is limited, in words."""
        return f"{self.what} against {self.against}" if self.against else self.what


class Process:
    """A contestant's process; `command` starts a program that speaks the protocol.

    What it prints goes to the file `log`, or where this process's standard error goes.
    """

    def __init__(
        self, contestant: Any, command: Sequence[str] = CHILD, log: Path | None = None
    ) -> None:
        self.name: str = contestant.name
        self._log = log
        with nullcontext() if log is None else log.open("a", encoding="utf-8") as stderr:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(),
                text=True,
            )
        self.ask(contestant.as_json())

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer. Raises StepError when the process failed."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self._process.wait()
            raise StepError(
                f"timing {self.name} failed",
                where=str(self._log or ""),
                why=f"its process ended with code {code}",
                hint="that file has its messages"
                if self._log
                else "the log of the step has its messages",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def milliseconds(self, request: dict[str, Any]) -> float:
        """Send a request and return the milliseconds in its answer."""
        return float(self.ask(request)["milliseconds"])

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
