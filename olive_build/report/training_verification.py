"""`verify --train`: the steps that a training bundle keeps of PyTorch, repeated here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from olive_build.errors import ProofError
from olive_build.processes import environment
from olive_build.record.proof import Gate
from olive_build.report.training_process import TOOLCHAIN
from olive_build.toolchains import provision
from olive_build.training.verdict import repeated_gates

CHILD = "olive_build.training.verify_child"
LAST_LINES = 6


def train_again(folder: Path) -> tuple[Gate, ...]:
    """Repeat the stored steps of a bundle that was looked at, and judge them as a build does.

    Takes the training toolchain, and makes it where there is none. Raises ProofError where a step
    does not do what PyTorch's did, or does not run.
    """
    done = subprocess.run(
        provision.command(TOOLCHAIN, CHILD, str(folder.absolute())),
        capture_output=True,
        text=True,
        errors="replace",
        env=environment(),
        check=False,
    )
    found = _printed(done)
    if "error" in found:
        raise _refused(folder, f"{found['error']['what']}: {found['error']['why']}")
    gates = tuple(repeated_gates(found))
    failed = [gate.text() for gate in gates if gate.status == "failed"]
    if failed:
        raise _refused(folder, "\n".join(failed))
    return gates


def _printed(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if not done.returncode and lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    ended = f"its process ended with code {done.returncode}"
    if done.returncode < 0:
        ended = f"its process was killed by signal {-done.returncode}"
    said = [line for line in done.stderr.splitlines() if line.strip()][-LAST_LINES:]
    why = "\n".join([ended, *said])
    return {"error": {"what": "the training runtime does not run its files", "why": why}}


def _refused(folder: Path, why: str) -> ProofError:
    return ProofError(
        "the bundle does not train as PyTorch did",
        where=str(folder),
        why=why,
        hint="do not ship it; build it again, and find out who changed the file",
    )
