"""Fixtures for `new`: models that were saved, a repository to work in."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from models_for_new import KINDS
from new_work import Work


@pytest.fixture
def work(tmp_path: Path, shared_cache: Path, saved: Path) -> Work:
    (tmp_path / "pyproject.toml").touch()  # what marks a repository
    return Work(tmp_path, shared_cache, saved)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, minilm_source: Path) -> Path:
    """A folder with a small model of each kind, of seeded weights, and the real MiniLM."""
    folder = tmp_path_factory.mktemp("saved")
    for name, write in KINDS.items():
        torch.manual_seed(0)
        write(folder / name)
    shutil.copytree(minilm_source, folder / "minilm")
    return folder
