"""The bundle that other tests share says itself why it cannot be built."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import neo_bundle
import pytest


def test_a_second_process_hears_why_the_build_failed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 4, "", "the reason")

    monkeypatch.setattr(subprocess, "run", fail)
    for _ in range(2):
        with pytest.raises(AssertionError, match="the reason"):
            neo_bundle.build(tmp_path / "project")
