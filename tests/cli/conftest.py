"""Fixtures for tests that build for real: a tiny model, a cache, folders to work in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from tiny_recipe import ROOT, Project, built  # noqa: E402


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model, as sentence-transformers would save it."""
    folder = tmp_path_factory.mktemp("miniature") / "model"
    program = (
        "import sys; from pathlib import Path;"
        "from olive_build.families.sentence_embedding.miniature import write_miniature;"
        "p = Path(sys.argv[1]); p.mkdir(); write_miniature(p)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(folder)], env=environment, check=True)
    return folder


@pytest.fixture
def new_project(tmp_path: Path, miniature: Path, shared_cache: Path) -> Callable[..., Project]:
    """Make a project: a folder of its own, the session's cache unless another is given."""

    def make(name: str = "work", cache: Path | None = None) -> Project:
        folder = tmp_path / name
        (folder / "recipes").mkdir(parents=True)
        (folder / "pyproject.toml").touch()  # what marks a repository
        shutil.copytree(miniature, folder / "recipes" / "model")
        return Project(folder, cache or shared_cache)

    return make


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    work = new_project()
    work.write_recipe()
    return work


@pytest.fixture
def published(project: Project) -> Project:
    """A project in which both targets are built."""
    return built(project)
