"""A model's configuration files, which every family reads alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError


def read_configuration(
    folder: Path, name: str, refused: Callable[[Path, str], PlanError]
) -> dict[str, Any]:
    """Return the JSON object of the file `name` in `folder`.

    Raises what `refused` returns for the folder and a reason where there is no such file, since the
    model is then none of the family; PlanError where it cannot be read.
    """
    path = folder / name
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise refused(folder, f"there is no {name}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise PlanError(f"cannot read {name}", where=str(path), why=str(error)) from error
    if not isinstance(data, dict):
        raise PlanError(f"cannot read {name}", where=str(path), why="it holds no JSON object")
    return data
