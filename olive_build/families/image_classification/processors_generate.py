"""Writes processors.json: what each image processor of the installed transformers takes.

Run as `python -m olive_build.families.image_classification.processors_generate`. `--print` prints
the table and writes nothing. `keys` are those that every class takes, with PilBackend's defaults.
Of a class it has the keys that it takes beside them or with other defaults, and the methods in
which it does something else than PilBackend; `models` are the classes that AutoImageProcessor takes
for classifiers whose files name none.
"""

from __future__ import annotations

import inspect
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers.image_processing_backends import PilBackend
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

TABLE = "processors.json"
SUFFIX = "Pil"
# What a method may do and be no code of a class's own: hand on what it was given.
PASSES_ON = {"super", "__init__", "preprocess"}


def generate() -> dict[str, Any]:
    """Return the table: the same bytes for the same version of transformers."""
    named = {
        name
        for backends in IMAGE_PROCESSOR_MAPPING_NAMES.values()
        for name in (backends or {}).values()
        if name
    }
    classes = {}
    for name in sorted(named):
        kind = get_image_processor_class_from_name(name)
        if name.endswith(SUFFIX) and isinstance(kind, type) and issubclass(kind, PilBackend):
            classes[name.removesuffix(SUFFIX)] = _described(kind)
    return {
        "transformers": transformers.__version__,
        "models": {
            model: name.removesuffix(SUFFIX)
            for model in sorted(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
            if (name := (IMAGE_PROCESSOR_MAPPING_NAMES.get(model) or {}).get("pil"))
        },
        "keys": _keys(PilBackend),
        "classes": classes,
    }


def _described(kind: type[PilBackend]) -> dict[str, Any]:
    common = _keys(PilBackend)
    own = {
        name
        for each in kind.mro()[: kind.mro().index(PilBackend)]
        for name, method in vars(each).items()
        if _is_own(name, method)
    }
    keys = {
        key: value
        for key, value in _keys(kind).items()
        if key not in common or value != common[key]
    }
    return {"own": sorted(own), "keys": keys}


def _keys(kind: type[PilBackend]) -> dict[str, Any]:
    """Return what a class's files may say, with what it does where they do not."""
    taken = kind.valid_kwargs.__annotations__
    return {key: _plain(getattr(kind, key, None)) for key in sorted(taken)}


def _is_own(name: str, method: Any) -> bool:
    """Whether a class does there something else than the backend, which reads pictures."""
    if not inspect.isfunction(method) or name == "to_dict" or not hasattr(PilBackend, name):
        return False
    return not set(inspect.unwrap(method).__code__.co_names) <= PASSES_ON


def _plain(value: Any) -> Any:
    """Return a default as JSON."""
    if isinstance(value, np.ndarray | tuple):
        return list(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def text_of(table: dict[str, Any]) -> str:
    """Return the table as it is committed: a class a line, so that diffs can be read."""
    lines = ["{", f'"transformers": {json.dumps(table["transformers"])},']
    for part, last in (("models", False), ("keys", False), ("classes", True)):
        rows = (f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in table[part].items())
        lines += [f'"{part}": {{', ",\n".join(rows), "}" if last else "},"]
    return "\n".join([*lines, "}"]) + "\n"


def main() -> None:
    """Write or print the table."""
    text = text_of(generate())
    if "--print" in sys.argv:
        sys.stdout.write(text)
    else:
        path = files("olive_build.families.image_classification").joinpath(TABLE)
        Path(str(path)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
