"""Fills the generated regions of docs/recipes.md from the models, the targets and the codes.

Run as `python -m olive_build.recipe.docs`; with `--check` it only says whether the page is up to
date. A region begins with `<!-- generated: NAME -->` and ends with `<!-- end -->`. What has none of
its own, such as a method or a section that was added, is described in `further sections`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.methods.blocks import BlockWeights
from olive_build.recipe import model
from olive_build.recipe.budgets import BudgetsSpec, RegressionSpec
from olive_build.recipe.docs_tables import TABLES, code, link, table, value
from olive_build.recipe.fields import Strict, spec_of
from olive_build.recipe.quantize import METHODS
from olive_build.recipe.schema import recipe_schema
from olive_build.recipe.sections import sections

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recipes.md"
REGION = re.compile(r"<!-- generated: (?P<name>.+?) -->\n.*?<!-- end -->", re.DOTALL)
# Where each model of the language is described; the section's heading is the same.
SECTIONS: Mapping[str, type[Strict]] = {
    "the recipe": model.Recipe,
    "model": model.ModelSpec,
    "model.sources": model.SourcesSpec,
    "model.sources.package": model.PackageSpec,
    "model.sources.hub": model.HubSpec,
    "model.sources.path": model.PathSpec,
    "export": model.ExportSpec,
    "fuse": model.FuseSpec,
    **{name: spec for kind in sections() for name, spec in kind.specs().items()},
    "variants": model.VariantSpec,
    **{f"quantize.{method}": spec for method, spec in METHODS.items()},
    "quantize.overrides": spec_of(BlockWeights),
    "passes": model.PassSpec,
    "components": model.ComponentSpec,
    "variants.components": model.ComponentOfVariantSpec,
    "verify": model.VerifySpec,
    "verify.data": model.DataFileSpec,
    "verify.budgets": BudgetsSpec,
    "verify.budgets.regression": RegressionSpec,
    "targets": model.TargetSpec,
}
FURTHER = "further sections"
_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "map",
    "null": "nothing",
}
_MOST_CHOICES = 12
_NOTHING = {"type": "null"}


def page(text: str) -> str:
    """Return the page's text with every region filled. Raises UsageError for an unknown region."""
    return REGION.sub(lambda found: region(found["name"], text), text)


def region(name: str, text: str = "") -> str:
    """Return a region of the page `text` with its marks."""
    kind, _, rest = name.partition(" of ")
    if kind == "fields" and rest in SECTIONS:
        body = fields_of(SECTIONS[rest])
    elif kind == "file" and (ROOT / rest).is_file():
        body = ["```yaml", *(ROOT / rest).read_text(encoding="utf-8").splitlines(), "```"]
    elif name in TABLES:
        body = TABLES[name]()
    elif name == FURTHER:
        body = list(_further(text))
    else:
        hint = ", ".join([*TABLES, *(f"fields of {section}" for section in SECTIONS)])
        raise UsageError(f"no region '{name}'", where=str(PAGE), hint=f"use one of {hint}")
    return "\n".join([f"<!-- generated: {name} -->", *body, "<!-- end -->"])


def _further(text: str) -> Iterator[str]:
    described = {found["name"] for found in REGION.finditer(text)}
    for section, spec in SECTIONS.items():
        if f"fields of {section}" not in described:
            about = str(spec.__doc__).partition("\n\n")[0]
            yield from (f"### {section}", about, "", *fields_of(spec), "")


def fields_of(spec: type[Strict]) -> list[str]:
    """Return the table of a model's fields."""
    return table(("field", "accepts", "default", "effect"), _field_rows(spec))


def _field_rows(spec: type[Strict]) -> Iterator[Sequence[str]]:
    schema = _schema(spec)
    for name, info in spec.model_fields.items():
        key = info.alias or name
        default = "required" if info.is_required() else value(schema[key].get("default"))
        yield code(key), _accepted(spec, key, schema[key]), default, info.description or ""


@cache
def _whole_schema() -> dict[str, Any]:
    return recipe_schema()


def _schema(spec: type[Strict]) -> dict[str, Any]:
    whole = _whole_schema()
    found = whole if spec is model.Recipe else whole["$defs"][spec.__name__]
    fields: dict[str, Any] = found["properties"]
    return fields


def _accepted(spec: type[Strict], key: str, entry: Mapping[str, Any]) -> str:
    # What the schema spells out in full, or cannot say in general.
    if spec is model.Recipe and key == "targets":
        return f"map of a target's name to a map, see {link('targets')}"
    if spec is model.TargetSpec and key == "provider":
        return f"a provider of the target, see {link('targets')}"
    return _words(entry)


def _words(entry: Mapping[str, Any]) -> str:
    """Return in words what a schema accepts."""
    if "$ref" in entry:
        return f"map, see {link(_section_of(entry['$ref']))}"
    if "discriminator" in entry:
        methods = _section_of(entry["oneOf"][0]["$ref"])
        return f"map with a `method`, see {link(methods.rpartition('.')[0])}"
    choices = [entry["const"]] if "const" in entry else entry.get("enum", [])
    if choices:
        shown = [value(choice) for choice in choices if choice is not None]
        return ", ".join(shown) if len(shown) <= _MOST_CHOICES else f"one of {len(shown)} names"
    either = [item for item in entry.get("anyOf", entry.get("oneOf", ())) if item != _NOTHING]
    if either:
        return " or ".join(map(_words, either))
    if entry.get("type") == "array":
        return f"list of {_words(entry['items'])}"
    inner = entry.get("additionalProperties")
    if isinstance(inner, dict):
        return f"map of names to {_words(inner)}"
    lowest = f", {entry['minimum']} or more" if "minimum" in entry else ""
    return _KINDS[entry["type"]] + lowest


def _section_of(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return next(section for section, spec in SECTIONS.items() if spec.__name__ == name)


def main() -> int:
    """Write the page, or with --check say whether it is up to date; return the exit code."""
    text = PAGE.read_text(encoding="utf-8")
    filled = page(text)
    if filled == text:
        sys.stdout.write(f"{PAGE} is up to date\n")
        return 0
    if "--check" in sys.argv:
        sys.stderr.write(f"{PAGE} is out of date; run python -m olive_build.recipe.docs\n")
        return 2
    PAGE.write_text(filled, encoding="utf-8")
    sys.stdout.write(f"{PAGE} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
