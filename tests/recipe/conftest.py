"""What the tests of the recipe language share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ERRORS = Path(__file__).parent / "errors"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def shipped() -> Path:
    """The recipe that comes with the product."""
    return REPOSITORY / "recipes" / "all-minilm-l6-v2.yaml"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], Path]:
    """Write a recipe named `it`, in a repository of its own with `_base.yaml` to extend."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "_base.yaml").write_bytes((ERRORS / "_base.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "it.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write
