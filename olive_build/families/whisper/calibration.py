"""Calibration inputs of a Whisper: none, since no method that learns from them is built for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olive_build.errors import StepError


def calibration_feeds(folder: Path, data: Path) -> Any:
    """Raise StepError: the plan refuses these methods before."""
    raise StepError(
        "a Whisper has no calibration inputs",
        where=str(data),
        why="its components are fed by one another",
    )
