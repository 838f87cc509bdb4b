"""A machine without a network, and an environment that a test may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from olive_build.toolchains import environments


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty root of toolchains."""
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "toolchains"))
    return tmp_path / "toolchains"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip has no index and no folder of wheels."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def copied(training_python: Path, elsewhere: Path) -> Path:
    """A copy of the made environment, in a root of its own."""
    made = training_python.parents[1]
    shutil.copytree(made, elsewhere / made.name, symlinks=True)
    return elsewhere / made.name
