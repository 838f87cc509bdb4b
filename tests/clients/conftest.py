"""The bundle that all tests of clients run, built once for all processes."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from neo_bundle import build


@pytest.fixture(scope="session")
def neo_bundle(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The web target of the small GPT-Neo, as it is published."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "neo"
    folder.mkdir(exist_ok=True)
    bundle = folder / "project" / "outputs" / "neo" / "web"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return bundle if bundle.exists() else build(folder / "project")
