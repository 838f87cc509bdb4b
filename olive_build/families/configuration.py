"""A model's configuration files, which every family reads alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.untrusted import followed, read_json

# Of a folder and a reason, the error that says that a family does not build what is in it.
Refusal = Callable[[Path, str], PlanError]


def none_of(family: str, wanted: str) -> Refusal:
    """Return what makes the error for a model that is not one of a family; `wanted` is the hint."""

    def refused(folder: Path, why: str) -> PlanError:
        what = f"the model is not one of the family '{family}'"
        return PlanError(what, where=str(folder), why=why, hint=wanted)

    return refused


def read_configuration(folder: Path, name: str, refused: Refusal) -> dict[str, Any]:
    """Return the JSON object of the file `name` in `folder`.

    Raises what `refused` returns for the folder and a reason where there is no such file, since the
    model is then none of the family; PlanError where it cannot be read.
    """
    path = folder / name
    if not path.exists():
        raise refused(folder, f"there is no {name}")
    return read_object(path)


def read_architecture(
    folder: Path, name: str, known: Collection[str], refused: Refusal
) -> tuple[dict[str, Any], str]:
    """Return a configuration and its model_type, which must be one of the `known` ones."""
    config = read_configuration(folder, name, refused)
    kind = str(config.get("model_type", "unknown"))
    if kind not in known:
        why = f"its model_type is {kind}, and known are: {', '.join(known)}"
        raise refused(folder, why)
    return config, kind


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file, empty if there is none. Raises PlanError."""
    data = read_value(path)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise unreadable(path, "it holds no JSON object")
    return data


def read_value(path: Path) -> Any:
    """Return what a JSON file holds, None if there is none. Raises PlanError.

    Where links of a model's folder lead was looked at when the model was taken.
    """
    try:
        return read_json(followed(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def unreadable(path: Path, why: str) -> PlanError:
    """Return the error of a file that is there and does not say what it must."""
    return PlanError(f"cannot read {path.name}", where=str(path), why=why)


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


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """Return the class that a configuration says it is of; None where it says none."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) and first else None
