"""The architectures that the general road does not fit, each with its reason: `exceptions.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from olive_build.families.configuration import none_of
from olive_build.targets.reading import Fields, read_mapping

DATA = Path(__file__).with_suffix(".yaml")
not_this_family = none_of(
    "causal-lm",
    "the folder must be as transformers saves a decoder-only language model with its fast "
    "tokenizer, and the model must keep keys and values of each layer",
)


@dataclass(frozen=True)
class Exceptions:
    """By model_type, or by kind of rotary positions: what is otherwise, with reason and source.

    `refused` are not built. Of those in `masked` the graph has masks of ours.
    """

    refused: Mapping[str, str]
    rotary: Mapping[str, str]
    masked: frozenset[str]


@cache
def load_exceptions() -> Exceptions:
    """Return what the file says. Raises DataError where it is wrong."""
    fields = Fields(read_mapping(DATA), DATA)
    found = Exceptions(
        refused=_reasons(fields, "refused"),
        rotary=_reasons(fields, "refused_rotary_positions"),
        masked=frozenset(_reasons(fields, "masks_of_ours")),
    )
    fields.done()
    return found


def check_exceptions(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise PlanError for a configuration that is known to come out wrong, or not at all."""
    exceptions = load_exceptions()
    kind = str(config.get("model_type"))
    why = exceptions.refused.get(kind)
    if why is not None:
        raise not_this_family(folder, f"its model_type is '{kind}': {why}")
    for rotary in sorted(_rotary_kinds(config)):
        if rotary in exceptions.rotary:
            why = exceptions.rotary[rotary]
            raise not_this_family(folder, f"its rotary positions are '{rotary}': {why}")


def _reasons(fields: Fields, key: str) -> dict[str, str]:
    """Return why, by each of the names that a line is for, which are parted by spaces."""
    found: dict[str, str] = {}
    for line in fields.mappings(key):
        names, why, source = (line.text(name) for name in ("for", "because", "source"))
        line.done()
        found |= dict.fromkeys(names.split(), f"{why} ({source})")
    return found


def _rotary_kinds(config: Mapping[str, Any]) -> set[str]:
    """Return the kinds of rotary positions in a config.json: one, or one for each kind of layer."""
    found = set()
    for key in ("rope_parameters", "rope_scaling"):
        whole = config.get(key)
        if isinstance(whole, dict):
            parts = [whole, *(part for part in whole.values() if isinstance(part, dict))]
            found |= {str(part.get(name)) for part in parts for name in ("rope_type", "type")}
    return found
