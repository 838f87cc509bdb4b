"""A model's image processor: which class it is, and what its file says to that class. Light.

The file is preprocessor_config.json, or `image_processor` of processor_config.json, where version 5
of transformers writes it; found and named as AutoImageProcessor does (image_processing_auto.py and
image_processing_base.py of transformers). Keys that a class takes are known from processors.json,
which is generated from the installed transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_configuration

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
NESTED = "image_processor"
TABLE = "processors.json"
TYPE, OLD_TYPE = "image_processor_type", "feature_extractor_type"
# What says which class a file is of, and nothing of images.
NAMING = (TYPE, OLD_TYPE, "processor_class", "auto_map", "_valid_processor_keys")
# Keys that transformers' PilBackend takes and does nothing with when it is given pictures.
IDLE = (
    *("data_format", "input_data_format", "device", "return_tensors"),
    *("disable_grouping", "image_seq_length"),
)


@dataclass(frozen=True)
class Processor:
    """An image processor: its class, what its file says, and what the class does by default.

    `given` are keys of the class with their values, `unknown` those that no class takes. `own` are
    the methods in which the class does something else than transformers' backend. `where` is the
    file, and `settings` all that it says.
    """

    kind: str
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    unknown: tuple[str, ...]
    own: tuple[str, ...]
    where: Path
    settings: Mapping[str, Any]

    @property
    def is_nested(self) -> bool:
        """Whether the settings are a part of processor_config.json, which clients do not read."""
        return self.where.name == PROCESSOR

    def without(self, key: str) -> Processor:
        """Return the processor of a file that lacks a key."""
        given = {name: value for name, value in self.given.items() if name != key}
        return Processor(**{**vars(self), "given": given})


@dataclass
class Settings:
    """What a processor does, by key; remembers what was asked, so that nothing is passed over.

    Every method raises ValueError, naming the key, for a value that transformers does not take.
    """

    processor: Processor
    asked: set[str] = field(default_factory=set)

    def __getitem__(self, key: str) -> Any:
        """Return what the file says of a key, or what the class does; null says nothing."""
        self.asked.add(key)
        return self.processor.given.get(key, self.processor.defaults.get(key))

    def flag(self, key: str) -> bool:
        """Return whether a switch is on; null is off where the class has no default."""
        value = self[key]
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{key} is {value!r}; true or false is expected")
        return bool(value)

    def number(self, key: str) -> float:
        """Return a number."""
        value = self[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} is {value!r}; a number is expected")
        return float(value)

    def size(self, key: str, *, square: bool = True) -> dict[str, int]:
        """Return a size as transformers' get_size_dict does: pixels by height, width and so on."""
        value = self[key]
        if value is None:
            raise ValueError(f"there is no {key}")
        if isinstance(value, int):
            value = {"height": value, "width": value} if square else {"shortest_edge": value}
        elif isinstance(value, list) and len(value) == 2:
            value = {"height": value[0], "width": value[1]}
        pixels = value.values() if isinstance(value, Mapping) else ()
        if not pixels or not all(type(item) is int and item > 0 for item in pixels):
            raise ValueError(f"{key} is {value!r}; whole numbers of pixels by name are expected")
        return dict(value)

    def ignore(self, *keys: str) -> None:
        """Note that the class takes keys and ignores them."""
        self.asked.update(keys)


def read_processor(folder: Path, config: Mapping[str, Any]) -> Processor:
    """Return the image processor of a folder; `config` is its config.json.

    Raises PlanError where there is none, or where it is of a class that is not known.
    """
    where, settings = _settings(folder)
    kind = _kind(settings, config, where)
    entry = table()["classes"].get(kind)
    if entry is None:
        raise refused(where, f"{kind} is no image processor of transformers that Pillow serves")
    defaults = {**table()["keys"], **entry["keys"]}
    said = {key: value for key, value in settings.items() if value is not None}
    return Processor(
        kind=kind,
        given={key: value for key, value in said.items() if key in defaults},
        defaults=defaults,
        unknown=tuple(sorted(key for key in said if key not in (*defaults, *NAMING))),
        own=tuple(entry["own"]),
        where=where,
        settings=settings,
    )


def refused(where: Path, why: str) -> PlanError:
    """Return the error of an image processor that is not built."""
    return PlanError(
        "the model's image processor is none that this family builds",
        where=str(where),
        why=why,
        hint="change what the file says only if the model was trained so; else prepare the images "
        "in the application and leave that step out of the file",
    )


@cache
def table() -> dict[str, Any]:
    """Return processors.json."""
    text = files("olive_build.families.image_classification").joinpath(TABLE).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file of the processor and what it says; the nested form comes first."""
    if (folder / PROCESSOR).is_file():
        nested = read_configuration(folder, PROCESSOR, refused).get(NESTED)
        if isinstance(nested, dict):
            return folder / PROCESSOR, nested
        if nested is not None:
            raise refused(folder / PROCESSOR, f"its {NESTED} is no JSON object")
    return folder / PREPROCESSOR, read_configuration(folder, PREPROCESSOR, refused)


def _kind(settings: Mapping[str, Any], config: Mapping[str, Any], where: Path) -> str:
    """Return the class's name, without a backend's suffix, as AutoImageProcessor finds it."""
    named = settings.get(TYPE)
    if named is None and settings.get(OLD_TYPE) is not None:
        named = str(settings[OLD_TYPE]).replace("FeatureExtractor", "ImageProcessor")
    named = named or config.get(TYPE) or table()["models"].get(config.get("model_type"))
    if not isinstance(named, str):
        raise refused(where, f"neither {TYPE} nor the model says which class it is")
    return named.removesuffix("Fast").removesuffix("Pil")
