"""Fixtures for tests of a composed Whisper: its files are built once for all of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from composed_whisper import Built, Heard, PyTorch, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The recipe's files; the processes of one run share the cache."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return build(tmp_path_factory.mktemp("composed"), shared / "whisper-cache")


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Heard]:
    """Open a one-file model that also gives its ids."""
    return lambda path: Heard(path, tmp_path_factory.mktemp("opened"))


@pytest.fixture(scope="session")
def fp32(built: Built, opened: Callable[[Path], Heard]) -> Heard:
    """The one file in fp32."""
    return opened(built.single("fp32"))


@pytest.fixture(scope="session")
def pytorch() -> Iterator[PyTorch]:
    """What all files are held against."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of so small a model wait for each other, above all when busy
    yield PyTorch()
    torch.set_num_threads(before)
