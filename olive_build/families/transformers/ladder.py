"""Climbs from the plainest way to export to the last one, each in a process of its own.

An exporter may run for hours, or take the process with it; a rung has so much processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build import rooms
from olive_build.errors import StepError
from olive_build.processes import environment

CHILD = (sys.executable, "-m", "olive_build.families.transformers.rung")
# In the order in which they are tried; `rungs.RUNGS` says what each is.
ORDER = (
    *("plain", "transformers", "unoptimized", "eager"),
    *("batch-only", "batch-only-transformers", "fixed"),
)
CPU_SECONDS = 600
RESULT, LOG = "rung.json", "rung.log"


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
    folder: Path, module: str, opset: int, out: Path, *, seconds: int = CPU_SECONDS
) -> Climbed:
    """Write `out`/model.onnx by the first rung whose graph is PyTorch's at several sizes.

    `module` is the task's. Each rung has so many `seconds` of processor time. Raises StepError
    where none is right.
    """
    tried: list[tuple[str, str]] = []
    for name in ORDER:
        found = _try(folder, module, opset, name, out, seconds)
        if "error" not in found:
            return Climbed(name, found["axes"], found["difference"], tuple(tried))
        tried.append((name, found["error"]))
        if found.get("final"):
            break
    raise StepError(
        "no way to export the model is right",
        where=str(folder),
        why="\n".join(f"{name}: {why}" for name, why in tried),
        hint="the log of the step has what the exporters said",
    )


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
