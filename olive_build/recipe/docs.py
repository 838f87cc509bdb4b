"""Fills the generated regions of docs/recipes.md from the models, the targets and the codes.

Run as `python -m olive_build.recipe.docs`; with `--check` it only says whether the page is up to
date. A region begins with `<!-- generated: NAME -->` and ends with `<!-- end -->`. What has none of
its own, such as a method or a section that was added, is described in `further sections`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from olive_build.errors import UsageError
from olive_build.families.registry import FAMILIES
from olive_build.methods import precision_of
from olive_build.methods._blocks import BlockWeights
from olive_build.proof import figures
from olive_build.recipe import model
from olive_build.recipe.budgets import BudgetsSpec, RegressionSpec
from olive_build.recipe.catalogue import load_catalogue
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.fields import Strict, spec_of
from olive_build.recipe.quantize import METHODS, layered
from olive_build.recipe.schema import recipe_schema
from olive_build.recipe.sections import sections
from olive_build.recipe.variants import BUILT_IN_METHODS, FOR_SIZE, Q4_BECAUSE, built_in_layer
from olive_build.targets import Provider, load_provider, load_target, target_names

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
    "model.adapter": model.AdapterSpec,
    "model.adapter.hub": model.AdapterHubSpec,
    "model.adapter.path": model.AdapterPathSpec,
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


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]


def value(given: Any) -> str:
    """Return a value as a recipe writes it."""
    if given is None or given in ([], {}):
        return "-"
    return code(str(given).lower() if isinstance(given, bool) else str(given))


def code(text: str) -> str:
    """Return text as it is typed."""
    return f"`{text}`"


def anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(section: str) -> str:
    """Return a link to a section of the page."""
    return f"[{section}](#{anchor(section)})"


def _methods() -> list[str]:
    rows = [
        (f"[`{method}`](#{anchor(f'quantize.{method}')})", str(spec.__doc__).partition("\n\n")[0])
        for method, spec in METHODS.items()
    ]
    return table(("method", "what it does"), rows)


def _built_in_variants() -> list[str]:
    rows = []
    for name, method in BUILT_IN_METHODS.items():
        precision = precision_of(layered([built_in_layer(name)], method))
        speed = f"any: {Q4_BECAUSE}" if name in FOR_SIZE else "gated"
        rows.append((code(name), code(method) if method else "none", precision, speed))
    return table(("variant", "method", "precision", "speed"), rows)


def _shipped_budgets() -> list[str]:
    limits = [item for figure in figures.every().values() for item in figure.metrics.values()]
    precisions = dict.fromkeys(key for item in limits for key in item.by_precision)
    names = dict.fromkeys(key for item in limits for key in item.by_variant)
    places = [*((precision, "") for precision in precisions), *(("", name) for name in names)]
    rows = []
    for family in FAMILIES.values():
        found = [figures.shipped(family.metrics, *place) for place in places]
        for figure in figures.budgets():
            given = [item.get(figure.name) for item in found]
            if any(limit is not None for limit in given):
                cells = ["-" if limit is None else f"{limit:g}" for limit in given]
                rows.append((code(family.name), code(figure.name), figure.bound, *cells))
    for name, limit in figures.shipped_ceilings().items():
        cells = [f"{limit:g}"] * len(precisions) + ["-"] * len(names)
        rows.append(("all", code(name), figures.find(name).bound, *cells))
    return table(("family", "budget", "holds", *precisions, *map(code, names)), rows)


def _families() -> list[str]:
    rows = [
        (code(f.name), *(", ".join(map(code, x)) or "-" for x in (f.tasks, f.metrics, f.data)),
         f.description)
        for f in FAMILIES.values()
    ]  # fmt: skip
    return table(("family", "tasks", "metrics", "data", "models"), rows)


def _targets() -> list[str]:
    rows = []
    for target in map(load_target, target_names()):
        lists = (target.providers, target.formats, target.default_variants)
        providers, formats, chosen = (", ".join(map(code, names)) for names in lists)
        default = code(target.default_provider)
        providers = providers.replace(default, f"**{default}**")
        opset = f"{target.opset_default}, {target.opset_max}"
        rows.append(
            (code(target.name), providers, formats, target.layout, target.compose,
             target.attention, chosen, opset)
        )  # fmt: skip
    heads = ("target", "providers (default bold)", "formats", "layout", "compose", "attention",
             "variants", "opset, ceiling")  # fmt: skip
    return table(heads, rows)


def _offered() -> list[Provider]:
    """Return the providers that a target has, by name."""
    names = {p for name in target_names() for p in load_target(name).providers}
    return [load_provider(name) for name in sorted(names)]


def _providers() -> list[str]:
    rows = []
    for provider in _offered():
        own, fallback = provider.precisions, provider.precisions_by_fallback
        fused = "yes" if provider.contrib_attention else "no"
        ceiling = str(provider.opset_max or "the target's")
        refused = [item.precision for item in provider.support if item.runs == "refused"]
        fixed = {"any": "no", "fixed-preferred": "better", "fixed": "yes"}[provider.shapes]
        lists = [", ".join(precisions) or "none" for precisions in (own, fallback, refused)]
        rows.append((code(provider.name), provider.title, *lists, fused, fixed, ceiling))
    heads = ("provider", "is", "own kernels", "on the CPU or cast", "refused", "fused attention",
             "fixed shapes", "opset ceiling")  # fmt: skip
    return table(heads, rows)


def _block_kernels() -> list[str]:
    rows = []
    for provider in _offered():
        for item in provider.blocks:
            levels = ", ".join(map(str, item.levels)) or "none"
            at = code(provider.name), str(item.bits), levels, str(provider.block_level(item.bits))
            rows.append((*at, item.otherwise or "-"))
    return table(("provider", "bits", "levels with a kernel", "default", "the others"), rows)


def _packages() -> list[str]:
    rows = []
    for target in map(load_target, target_names()):
        for package in (*target.packages, *target.extension_packages, *target.training_packages):
            use = f"provider {', '.join(map(code, package.providers))}"
            if package in target.extension_packages:
                use = "single-file"
            elif package in target.training_packages:
                use = "`train`"
            elif not package.providers:
                use = "other providers" if any(p.providers for p in target.packages) else "all"
            name = f"`{package.name}` ({package.ecosystem})"
            rows.append((code(target.name), use, name, package.lowest, package.why))
    return table(("target", "for", "package", "lowest", "because"), rows)


def _passes() -> list[str]:
    catalogue = load_catalogue()
    rows = []
    for entry in catalogue.passes.values():
        if entry.accepts == "onnx":
            needed = [key for key, option in entry.options.items() if option.required]
            others = len(entry.options) - len(needed)
            rows.append((code(entry.name), ", ".join(map(code, needed)) or "none", str(others)))
    head = (f"pass of Olive {catalogue.olive_version}", "required options", "others")
    return table(head, rows)


def _codes() -> list[str]:
    return table(("code", "means"), [(code(item.value), item.meaning) for item in Code])


TABLES: Mapping[str, Callable[[], list[str]]] = {
    "methods": _methods,
    "built-in variants": _built_in_variants,
    "shipped budgets": _shipped_budgets,
    "families": _families,
    "targets": _targets,
    "providers": _providers,
    "kernels of blocks": _block_kernels,
    "runtime packages": _packages,
    "passes": _passes,
    "codes": _codes,
}


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
