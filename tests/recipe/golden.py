"""Golden texts: compared with what is committed, and rewritten where UPDATE_GOLDEN=1 is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def assert_golden(path: Path, text: str) -> None:
    """Fail where `text` differs from the file at `path`; under UPDATE_GOLDEN=1 write it first."""
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before == text:
        return
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was rewritten: read it, and run again without UPDATE_GOLDEN")
    assert before is not None, f"{path.name} is missing: run once with UPDATE_GOLDEN=1"
    assert text == before
