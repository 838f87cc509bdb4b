"""Names of classes, as the model's configuration has them."""

from __future__ import annotations

from typing import Any


def label_names(library: Any) -> list[str]:
    """Return the names of a loaded model's classes in order."""
    named = library.model.config.id2label
    return [str(named[index]) for index in range(len(named))]
