"""The names of a classifier's classes, as transformers writes them. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def class_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes of a config.json in order.

    A model that has no `id2label` has not been given a head; transformers gives it two classes.
    Raises ValueError where classes are not numbered from 0.
    """
    numbered = config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}
    if not isinstance(numbered, Mapping):
        raise ValueError("id2label of config.json is no object of numbers and names")
    names = {int(index): str(name) for index, name in numbered.items()}
    if sorted(names) != list(range(len(names))):
        raise ValueError("id2label of config.json does not number its classes from 0")
    return tuple(names[index] for index in range(len(names)))
