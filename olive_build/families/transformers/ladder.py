"""Climbs from the plainest way to export to the last one, each in a process of its own.

An exporter may run for hours, or take the process with it; a rung has so much processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.errors import StepError
from olive_build.families.configuration import read_object
from olive_build.families.transformers.exceptions import start_of
from olive_build.processes import environment

CHILD = (sys.executable, "-m", "olive_build.families.transformers.rung")
# In the order in which they are tried; `rungs.RUNGS` says what each is.
ORDER = (
    *("plain", "transformers", "unoptimized", "eager"),
    *("batch-only", "batch-only-transformers", "fixed"),
)
CPU_SECONDS = 600
RESULT = "rung.json"
# Of a folder, a module, an opset, a rung's name, where to write, and seconds of processor time:
# what was found, or an `error`.
Attempt = Callable[[Path, str, int, str, Path, int], dict[str, Any]]


@dataclass(frozen=True)
class Climbed:
    """The rung that was right, the free axes of inputs, and why those before it were not taken."""

    rung: str
    axes: dict[str, list[str]]
    difference: float
    tried: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "rung": self.rung,
            "axes": self.axes,
            "difference": self.difference,
            "tried": [{"rung": name, "why": why} for name, why in self.tried],
        }


def climb(
    folder: Path,
    module: str,
    opset: int,
    out: Path,
    *,
    seconds: int = CPU_SECONDS,
    attempt: Attempt | None = None,
) -> Climbed:
    """Write `out`/model.onnx by the first rung whose graph is PyTorch's at several sizes.

    `module` opens the model with its inputs: a task's, or `by_signature`. Each rung has so many
    `seconds` of processor time; `attempt` tries one, by default in a new process. Raises StepError
    where none is right.
    """
    attempt = attempt or _try
    tried: list[tuple[str, str]] = []
    for name in order_for(folder):
        found = attempt(folder, module, opset, name, out, seconds)
        if "error" not in found:
            return Climbed(name, found["axes"], found["difference"], tuple(tried))
        tried.append((name, found["error"]))
    raise StepError(
        "no way to export the model is right",
        where=str(folder),
        why="\n".join(f"{name}: {why}" for name, why in tried),
        hint="the log of the step has what the exporters said",
    )


def order_for(folder: Path) -> tuple[str, ...]:
    """Return the rungs in the order in which they are tried for a model."""
    start = start_of(read_object(folder / "config.json"))
    return ORDER if start is None else (start, *(name for name in ORDER if name != start))


def _try(
    folder: Path, module: str, opset: int, rung: str, out: Path, seconds: int
) -> dict[str, Any]:
    """Return what the process of a rung found; an `error` where it found nothing right."""
    asked = {
        "folder": str(folder),
        "module": module,
        "opset": opset,
        "rung": rung,
        "out": str(out),
        "seconds": seconds,
        "rooms": [str(path) for path in rooms.extensions()],
    }
    result = out / RESULT
    ended = subprocess.run(
        CHILD, input=json.dumps(asked), text=True, env=environment(), check=False, stdout=sys.stderr
    )
    found: dict[str, Any] = {}
    if result.is_file():
        found = json.loads(result.read_text(encoding="utf-8"))
        result.unlink()
    elif ended.returncode < 0:
        found = {"error": f"it took more than {seconds} s of processor time, or crashed"}
    else:
        found = {"error": f"its process ended with code {ended.returncode}"}
    if "error" in found:
        for path in out.glob("model.onnx*"):
            path.unlink()
    return found
