"""Read a run configuration of Olive: a stranger's file, JSON or YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.recipe.suggest import listed
from olive_build.untrusted import Unreadable, followed, parse_json, parse_yaml, read_text

MOST_BYTES = 1_000_000
MOST_NAMED = 6
YAML_ENDINGS = (".yaml", ".yml")
_WHAT = "this is no run configuration of Olive"
_HINT = "give the file that `olive run --config` takes: a map with `input_model` and `passes`"


def read_configuration(path: Path) -> dict[str, Any]:
    """Return what the configuration in `path` holds.

    Raises UsageError where it is no JSON or YAML of a sensible size, or has no `input_model`, and
    OSError where it cannot be opened.
    """
    where = str(path)
    if path.suffix not in (".json", *YAML_ENDINGS):
        why = "its name does not end in .json, .yaml or .yml, by which Olive knows how to read it"
        raise UsageError(_WHAT, where=where, why=why, hint=_HINT)
    try:
        text = read_text(followed(path), MOST_BYTES).removeprefix("\ufeff")
        found = parse_yaml(text) if path.suffix in YAML_ENDINGS else parse_json(text)
    except Unreadable as error:
        raise UsageError(
            "the configuration cannot be read", where=where, why=str(error), hint=_HINT
        ) from error
    if not isinstance(found, dict):
        kinds = {list: "a list", type(None): "nothing"}
        why = f"it holds {kinds.get(type(found), 'a single value')}, not a map"
        raise UsageError(_WHAT, where=where, why=why, hint=_HINT)
    if "input_model" not in found:
        keys = [*list(found)[:MOST_NAMED], *(["..."] if len(found) > MOST_NAMED else [])]
        why = f"it has no `input_model`, but {listed(keys) if keys else 'nothing'}"
        raise UsageError(_WHAT, where=where, why=why, hint=_HINT)
    return found
