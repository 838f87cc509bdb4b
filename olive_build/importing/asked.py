"""What the command line says beside the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """Where the recipe goes, and what replaces what a configuration says or doesn't say.

    `model` is a folder, or owner/name of the hub, with @commit or without; below `model_roots` it
    may lie outside of the recipe's repository. `data` and `calibration` are files for `verify`,
    relative to where the verb runs.
    """

    recipe: Path
    model: str | None = None
    task: str | None = None
    licence: str | None = None
    data: Path | None = None
    calibration: Path | None = None
    model_roots: tuple[Path, ...] = ()
