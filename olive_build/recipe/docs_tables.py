"""The tables of docs/recipes.md that are made of registries: methods, targets, passes, codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from olive_build.families.registry import FAMILIES
from olive_build.methods import precision_of
from olive_build.proof import figures
from olive_build.recipe.catalogue import load_catalogue
from olive_build.recipe.codes import Code
from olive_build.recipe.quantize import METHODS, layered
from olive_build.recipe.variants import BUILT_IN_METHODS, FOR_SIZE, Q4_BECAUSE, built_in_layer
from olive_build.targets import Provider, load_provider, load_target, target_names


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
