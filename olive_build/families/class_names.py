"""The names of a classifier's classes, as transformers writes them. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def class_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes of a config.json in order.

    A number of them that differs from the names makes new ones, and without both there are two.
    Raises ValueError where classes are not numbered from 0.
    """
    numbered, count = config.get("id2label"), config.get("num_labels")
    if numbered is not None and not isinstance(numbered, Mapping):
        raise ValueError("id2label of config.json is no object of numbers and names")
    if count is not None and type(count) is not int:
        raise ValueError(f"num_labels of config.json is {count!r}; a whole number is expected")
    if numbered is None or (count is not None and count != len(numbered)):
        numbered = {index: f"LABEL_{index}" for index in range(2 if count is None else count)}
    names = {int(index): str(name) for index, name in numbered.items()}
    if sorted(names) != list(range(len(names))) or not names:
        raise ValueError("id2label of config.json does not number its classes from 0")
    return tuple(names[index] for index in range(len(names)))
