"""Write what a search chose into the recipe's own text, comments and all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import yaml

from olive_build.errors import UsageError
from olive_build.methods import Method
from olive_build.recipe.load import LoadedRecipe


def plain_recipe(loaded: LoadedRecipe, chosen: Mapping[str, Method]) -> str:
    """Return the recipe's text with each variant's `quantize: auto` replaced by its method.

    Raises UsageError when a variant's method is not written in the recipe's own file.
    """
    text = loaded.path.read_text(encoding="utf-8")
    lines = text.splitlines()
    places = {name: _place(loaded, name) for name in chosen}
    # From the end, so that the lines before keep their numbers.
    for name, line in sorted(places.items(), key=lambda pair: -pair[1]):
        start, end = line - 1, _end_of_value(lines, line - 1)
        lines[start:end] = _rewritten(lines[start], chosen[name])
    return "\n".join(lines) + "\n"


def as_yaml(method: Method) -> dict[str, Any]:
    """Return a method as a recipe writes it: its name, and what is not the default."""
    written: dict[str, Any] = {"method": method.method}
    for field in fields(method):
        value = getattr(method, field.name)
        if field.name != "method" and value != field.default:
            written[field.name] = _plain(value)
    return written


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _place(loaded: LoadedRecipe, variant: str) -> int:
    """Return the line on which the variant's `quantize` is written."""
    path = ("variants", variant, "quantize")
    span = loaded.positions.key_span(path)
    if loaded.positions.find(path) is None or span.source.path != loaded.path:
        raise UsageError(
            f"the method of '{variant}' is not written in this recipe",
            where=f"{loaded.path}, variants.{variant}",
            why=f"it comes from {span.source.label}",
            hint="build the recipe that it is written in, and write that one",
        )
    return span.line


def _end_of_value(lines: list[str], start: int) -> int:
    """Return the line after the value of the key in line `start`."""
    indent = _indent(lines[start])
    end = start + 1
    while end < len(lines) and lines[end].strip() and _indent(lines[end]) > indent:
        end += 1
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _rewritten(line: str, method: Method) -> list[str]:
    """Return the lines in place of one that holds `quantize`, in flow style or in a block."""
    content = as_yaml(method)
    flow = re.search(r"quantize:\s*(auto\b|\{[^}]*\})", line)
    if flow is not None and line.lstrip().startswith("quantize:"):
        indent = " " * _indent(line)
        block = yaml.safe_dump(
            {"quantize": content}, sort_keys=False, width=90, default_flow_style=None
        )
        return [indent + part for part in block.splitlines()]
    if flow is None:  # a block: what was below the key is gone, the key stays
        indent = " " * (_indent(line) + 2)
        block = yaml.safe_dump(content, sort_keys=False, width=90, default_flow_style=None)
        return [line, *(indent + part for part in block.splitlines())]
    inline = yaml.safe_dump(content, sort_keys=False, width=10**6, default_flow_style=True).strip()
    return [line[: flow.start(1)] + inline + line[flow.end(1) :]]
