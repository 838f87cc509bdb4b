"""What the passes of the pinned Olive accept, read from the generated olive_passes.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE_FILE = Path(__file__).with_name("olive_passes.json")
# Options that make Olive import or load code, at any depth of a pass's options.
RUNS_CODE = ("script_dir", "user_script", "model_script", "custom_op_lib", "trust_remote_code")
_KINDS: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "string": (str,),
    "list": (list,),
    "object": (dict,),
}
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "list": "a list",
    "object": "a map",
}


@dataclass(frozen=True)
class CatalogueOption:
    """An option of a pass.

    `types` are the kinds of value that it takes (of bool, int, float, string, list, object; empty:
    any), `choices` the only values where it has a closed list.
    """

    types: tuple[str, ...]
    choices: tuple[Any, ...]
    default: Any
    required: bool

    def takes(self, value: Any) -> bool:
        """Return whether the option can be `value`; null stands for its own default."""
        if value is None or (not self.types and not self.choices):
            return True
        if any(value == choice and type(value) is type(choice) for choice in self.choices):
            return True
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return any(
            isinstance(value, _KINDS[name]) and (name == "bool" or not isinstance(value, bool))
            for name in self.types
        )

    def wanted(self) -> str:
        """Return in words what the option can be."""
        words = [_WORDS[name] for name in self.types]
        if self.choices:
            words.append("one of " + ", ".join(str(choice) for choice in self.choices))
        return " or ".join(words) or "a value"


@dataclass(frozen=True)
class CataloguePass:
    """A pass of Olive: `accepts` onnx, or the kind of model that it takes instead."""

    name: str
    accepts: str
    options: Mapping[str, CatalogueOption]


@dataclass(frozen=True)
class Catalogue:
    """All passes of one version of Olive."""

    olive_version: str
    passes: Mapping[str, CataloguePass]


@cache
def load_catalogue() -> Catalogue:
    """Return the committed catalogue."""
    data = json.loads(CATALOGUE_FILE.read_text(encoding="utf-8"))
    passes = {
        name: CataloguePass(
            name,
            entry["accepts"],
            {key: _option(option) for key, option in entry["options"].items()},
        )
        for name, entry in data["passes"].items()
    }
    return Catalogue(data["olive-ai"], passes)


def _option(entry: Mapping[str, Any]) -> CatalogueOption:
    return CatalogueOption(
        types=tuple(entry.get("types", ())),
        choices=tuple(entry.get("choices", ())),
        default=entry.get("default"),
        required=bool(entry.get("required")),
    )
