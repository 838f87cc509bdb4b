"""A store in a temporary folder, and workers that find the tiny steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from olive_build import rooms
from olive_build.engine.store import Store

HERE = Path(__file__).parent

rooms.extend(HERE / "rooms")
# Tests and the build that some of them start call them so.
sys.modules["tiny_steps"] = import_module("olive_build.steps.tiny_steps")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and all that it starts use the tiny steps and a cache of its own."""
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
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
