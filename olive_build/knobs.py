"""Fields that a recipe may set, said once: its reader, its schema and the docs are made of them."""

from __future__ import annotations

from dataclasses import MISSING, field
from typing import Any


def knob(description: str, default: Any = MISSING, **more: object) -> Any:
    """Return a dataclass's field. `description` says what it does; without a default it is needed.

    `more` is what its owner wants to know of it besides.
    """
    return field(default=default, metadata={"description": description, **more})
