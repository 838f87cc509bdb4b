"""A store in a temporary folder, and workers that find the tiny steps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from olive_build.engine.store import Store  # noqa: E402


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and all that it starts use the tiny steps and a cache of its own."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OLIVE_BUILD_STEP_REGISTRY", "tiny_steps:STEPS")
    monkeypatch.setenv("OLIVE_BUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINY_NOTES", str(tmp_path / "notes"))
    (tmp_path / "notes").touch()


@pytest.fixture
def store() -> Iterator[Store]:
    """Return an open store in the test's own folder."""
    with Store() as opened:
        yield opened


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[], list[str]]:
    """Return what the steps noted so far."""
    return lambda: (tmp_path / "notes").read_text(encoding="utf-8").splitlines()
