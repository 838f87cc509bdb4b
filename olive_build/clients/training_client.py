"""onnxruntime-web's training in headless Chromium: the client of web bundles that go on learning.

Needs what `make clients` installs and the system's browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.clients.client_packages import (
    PROGRAMS,
    TRAINING_RUNTIME,
    require_chromium,
    require_clients,
    runtime_files,
)
from olive_build.clients.javascript_client import run_program
from olive_build.clients.web_server import serving

Batch = Mapping[str, npt.NDArray[Any]]
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Learned:
    """What a page answers: each step's loss, outputs by name, all trainable parameters in a row."""

    losses: tuple[float, ...]
    outputs: Mapping[str, npt.NDArray[np.float32]]
    parameters: npt.NDArray[np.float32]
    load_ms: float
    run_ms: float


def train_in_chromium(
    artifacts: Path,
    batches: Sequence[Batch],
    judged: Batch,
    *,
    restored: npt.NDArray[np.float32] | None = None,
) -> Learned:
    """Train a bundle's `training/` with the batches, one step each, and evaluate `judged` then.

    A batch has the graphs' inputs and the target by name. `restored` are parameters to begin from.
    Raises StepError, with the page's reason, when it cannot.
    """
    question = {
        "batches": [_as_json(batch) for batch in batches],
        "judged": _as_json(judged),
        "restored": None if restored is None else restored.tolist(),
    }
    found = ask_page(artifacts, question, PROGRAMS / "browser" / "training.mjs")
    return Learned(
        losses=tuple(found["losses"]),
        outputs={n: np.array(values, np.float32) for n, values in found["outputs"].items()},
        parameters=np.array(found["learned"], np.float32),
        load_ms=found["load_ms"],
        run_ms=found["run_ms"],
    )


def ask_page(artifacts: Path, question: Mapping[str, Any], program: Path) -> dict[str, Any]:
    """Return what a page answers whose `program` sets window.answer; raises as above."""
    drive = require_clients() / "drive.mjs"
    browser = require_chromium()
    runtime = runtime_files(TRAINING_RUNTIME)
    mounts = {
        "/client/training.html": PROGRAMS / "browser" / "training.html",
        "/client/training.mjs": program,
        "/training/": artifacts,
        **{f"/runtime/{name}": path for name, path in runtime.items()},
    }
    with serving(mounts) as server:
        command = [str(drive), browser, f"{server.url}/client/training.html"]
        return run_program(command, dict(question), "chromium", artifacts, TIMEOUT_SECONDS)


def _as_json(batch: Batch) -> dict[str, Any]:
    return {
        name: {
            "type": array.dtype.name,
            "dims": list(array.shape),
            "data": array.reshape(-1).tolist(),
        }
        for name, array in batch.items()
    }
