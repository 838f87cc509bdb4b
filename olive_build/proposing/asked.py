"""What the command line says of the recipe that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """A model, the recipe's file, and what is not left to be found out.

    `model` is a folder, or owner/name of the hub, with @revision or without. `data` and
    `calibration` are files for `verify`, relative to where the verb runs. Below `model_roots` a
    folder may lie that is outside of the recipe's repository.
    """

    model: str
    recipe: Path
    targets: tuple[str, ...] = ()
    task: str | None = None
    licence: str | None = None
    data: Path | None = None
    calibration: Path | None = None
    model_roots: tuple[Path, ...] = ()
