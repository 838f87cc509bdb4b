"""The README of a bundle: what is in it, how it was proved, and code that loads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from olive_build.bundle.purpose import purpose_in
from olive_build.families.facts import Facts
from olive_build.plan.measured import EIGHT_BIT_PRODUCTS
from olive_build.record.manifest import Manifest, Value
from olive_build.targets import load_target
from olive_build.targets.model import HERE

README = "README.md"
# What Python code imports and an application may lack, with pip's name for it.
IMPORTED = {"numpy": "numpy", "PIL": "pillow", "tokenizers": "tokenizers"}
# So many inputs or outputs of one type and shape in a row are named one by one.
MOST_ALIKE = 3


def readme(manifest: Manifest, facts: Facts) -> bytes:
    """Return the README for a manifest; the first variant is the one that the code loads."""
    purpose = purpose_in(manifest)
    lines = [
        f"# {manifest.recipe} for {manifest.target}",
        "",
        f"{manifest.description}.",
        "",
        f"Status: {manifest.status}.",
        "",
        *purpose.told(manifest),
        *_variants(manifest),
        "",
        *_estimates(manifest),
        *_processors(manifest),
        "## What the application needs",
        "",
        *_packages(manifest),
        *_imported(code := code_sections(manifest, facts)),
        "",
        "## Code",
        "",
        code,
        "",
        "## Where it comes from",
        "",
        f"Model: {manifest.model.source}, licence {manifest.model.licence}. `manifest.json` lists "
        "every file with its sha256, the operators of each graph and the tools; `proof.json` holds "
        "what was measured, where, and against which limits; `reference/` the inputs with "
        "PyTorch's outputs. " + purpose.verifying,
        "",
    ]
    return "\n".join(lines).encode()


def _imported(code: str) -> list[str]:
    """Return what Python code imports beside the runtime, by the names that pip knows."""
    found = [
        name
        for module, name in IMPORTED.items()
        if f"\nimport {module}" in code or f"\nfrom {module}" in code
    ]
    return [f"- {', '.join(found)} (pypi): the code below imports them"] if found else []


def code_sections(manifest: Manifest, facts: Facts) -> str:
    """Return the code that a bundle's purpose asks for, and what else there is to say of it."""
    return "\n\n".join(purpose_in(manifest).code(manifest, facts))


def _processors(manifest: Manifest) -> list[str]:
    """Return what an int8 file does on x86 processors unlike the one it was proved on."""
    names = [n for n, v in manifest.variants.items() if v.precision in EIGHT_BIT_PRODUCTS]
    if not names or manifest.provider != HERE or not load_target(manifest.target).has_x86:
        return []
    text = (
        f"{', '.join(f'`{name}`' for name in names)} multiplies 8 bits by 8 bits. x86 processors "
        "with VNNI or AMX add such products in 32 bits; older ones cut the sum of two to 16 bits, "
        "which changes the results. `proof.json` says on which features its figures were measured "
        "(`machine`), and in `without_vnni` what older ones give, where that was measured. There "
        "the session option `session.x64quantprecision` set to `1` makes onnxruntime exact, and "
        "slower; it changes nothing where VNNI is."
    )
    return ["## Which processors", "", text, ""]


def _variants(manifest: Manifest) -> list[str]:
    lines = ["| variant | file | MB | inputs | outputs |", "|---|---|---|---|---|"]
    for name, variant in manifest.variants.items():
        for role, path in variant.models.items():
            graph = variant.graph(role)
            lines.append(
                f"| {name} | `{path}` | {manifest.loaded_bytes(path) / 1e6:.1f} "
                f"| {values_text(graph.inputs)} | {values_text(graph.outputs)} |"
            )
    return [*lines, *_weights(manifest)]


def _weights(manifest: Manifest) -> list[str]:
    """Return, for models of several files, which files these are and how to load them."""
    paths = {path for variant in manifest.variants.values() for path in variant.models.values()}
    beside = {path: manifest.beside(path) for path in sorted(paths)}
    lines = [
        f"- `{path}` reads its weights from {', '.join(f'`{name}`' for name in names)}"
        for path, names in beside.items()
        if names
    ]
    if not lines:
        return []
    text = (
        "A graph finds these files by their names in its own folder: ship them together, rename "
        "none, and open the model by its path. From bytes in memory no runtime finds them."
    )
    return ["", *lines, "", text]


def _estimates(manifest: Manifest) -> list[str]:
    """Return how the provider would take each graph, by the operators that it has kernels for."""
    found = [
        f"- {name}: {variant.partition.text}"
        for name, variant in manifest.variants.items()
        if variant.partition
    ]
    return ["Estimated from the provider's list of operators:", "", *found, ""] if found else []


def values_text(values: Sequence[Value]) -> str:
    """Return the ends of a graph; caches that differ in the layer alone are one entry."""
    found = []
    for key, group in groupby(values, lambda value: (value.type, value.axes)):
        names = [f"`{value.name}`" for value in group]
        shown = [f"{names[0]} to {names[-1]}"] if len(names) > MOST_ALIKE else names
        found += [f"{name} {key[0]} [{', '.join(map(str, key[1]))}]" for name in shown]
    return ", ".join(found)


def _packages(manifest: Manifest) -> list[str]:
    newer = purpose_in(manifest).newer
    return [
        f"- {item.name} ({item.ecosystem}) {item.lowest}{newer}: {item.why}"
        for item in manifest.runtime.packages
    ]
