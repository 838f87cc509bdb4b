"""The JSON schema of recipes, for editors: made from the models, with the names that are closed.

`python -m olive_build.recipe.schema > recipes/recipe.schema.json` writes the committed one.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from olive_build.families.registry import FAMILIES
from olive_build.recipe import model
from olive_build.recipe.catalogue import load_catalogue
from olive_build.recipe.sections import sections
from olive_build.targets import load_target, target_names

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) that every recipe without `extends` fits."""
    schema = model.Recipe.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    _close_recipe(schema)
    _close_model(definitions)
    _close_passes(definitions["PassSpec"])
    _close_verify(definitions["VerifySpec"])
    for kind in sections():
        kind.close_schema(definitions)
    # The word that stands for {method: auto}.
    definitions["VariantSpec"]["properties"]["quantize"]["anyOf"].insert(0, {"const": "auto"})
    definitions["ExportSpec"]["properties"]["opset"]["anyOf"][0]["minimum"] = model.LOWEST_OPSET
    return {"$schema": _DIALECT, "title": "olive_build recipe, version 1", **_untitled(schema)}


def schema_text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n"


def _close_recipe(schema: dict[str, Any]) -> None:
    fields = schema["properties"]
    fields["recipe"]["const"] = model.VERSION
    fields["variants"]["propertyNames"] = {"pattern": model.VARIANT_PATTERN}
    fields["targets"] = {
        "description": fields["targets"]["description"],
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: _target(name) for name in target_names()},
    }
    # What a recipe does not say may be said by the one that it extends.
    schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]


def _target(name: str) -> dict[str, Any]:
    target = load_target(name)
    own = {
        "provider": {"enum": [*target.providers, None]},
        "formats": {"items": {"enum": list(target.formats)}},
        "export": {"properties": {"opset": {"maximum": target.opset_max}}},
    }
    reference = {"$ref": "#/$defs/TargetSpec"}
    return {"description": target.description, "allOf": [reference, {"properties": own}]}


def _close_model(definitions: dict[str, Any]) -> None:
    spec = definitions["ModelSpec"]
    tasks = sorted(task for family in FAMILIES.values() for task in family.tasks)
    spec["properties"]["family"]["anyOf"][0]["enum"] = sorted(FAMILIES)
    spec["properties"]["task"]["anyOf"][0]["enum"] = tasks
    spec["oneOf"] = [{"required": ["family"]}, {"required": ["task"]}]


def _close_passes(spec: dict[str, Any]) -> None:
    passes = load_catalogue().passes.values()
    spec["properties"]["pass"]["enum"] = [p.name for p in passes if p.accepts == "onnx"]
    spec["oneOf"] = [{"required": ["before"]}, {"required": ["after"]}]


def _close_verify(spec: dict[str, Any]) -> None:
    families = FAMILIES.values()
    metrics = sorted({metric for family in families for metric in family.metrics})
    data = sorted({name for family in families for name in family.data})
    spec["properties"]["metric"]["anyOf"][0]["enum"] = metrics
    for choice in spec["properties"]["data"]["anyOf"][0]["oneOf"]:
        if choice.get("type") == "string":
            choice["enum"] = data


def _untitled(value: Any) -> Any:
    """Return a schema without pydantic's titles, which only repeat the names of fields."""
    if isinstance(value, dict):
        return {
            key: _untitled(item)
            for key, item in value.items()
            if not (key == "title" and isinstance(item, str))
        }
    return [_untitled(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.stdout.write(schema_text())
