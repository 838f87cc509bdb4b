"""The README of a bundle: what is in it, how it was proved, and code that loads it."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from olive_build.bundle.app_code import code_sections
from olive_build.bundle.layout import models
from olive_build.families.facts import Facts
from olive_build.plan.measured import EIGHT_BIT_PRODUCTS

README = "README.md"
# So many inputs or outputs of one type and shape in a row are named one by one.
MOST_ALIKE = 3
VERIFY = (
    "`olive-build verify <this folder>` reads every byte and measures the quality of each model "
    "again. It measures neither speed nor memory: those are the build's own, in `proof.json`."
)
VERIFY_TRAINING = (
    "`olive-build verify <this folder>` reads every byte, runs the inference model again, and "
    "holds the checkpoint's values and the optimizer's settings against PyTorch's; it takes no "
    "training step. With `--train` it repeats three of PyTorch's steps with these files. What else "
    "`proof.json` says, such as twenty steps in a row, resuming and cost, is the build's own."
)
# Where the CPU that runs a file may be an x86 one.
X86 = (("desktop", "cpu"), ("windows", "cpu"))


def readme(manifest: dict[str, Any], facts: Facts) -> bytes:
    """Return the README for a manifest; the first variant is the one that the code loads."""
    lines = [
        f"# {manifest['recipe']} for {manifest['target']}",
        "",
        f"{manifest['description']}.",
        "",
        f"Status: {manifest['status']}.",
        "",
        *_artifacts(manifest),
        *_variants(manifest),
        "",
        *_estimates(manifest),
        *_processors(manifest),
        "## What the application needs",
        "",
        *_packages(manifest),
        "",
        "## Code",
        "",
        code_sections(manifest, facts),
        "",
        "## Where it comes from",
        "",
        f"Model: {manifest['model']['origin']} {manifest['model']['revision']}".rstrip() + ", "
        f"licence {manifest['model']['licence']}. `manifest.json` lists every file with its "
        "sha256, the operators of each graph and the tools; `proof.json` holds what was measured, "
        "where, and against which limits; `reference/` the inputs with PyTorch's outputs. "
        + (VERIFY_TRAINING if "training" in manifest else VERIFY),
        "",
    ]
    return "\n".join(lines).encode()


def _processors(manifest: dict[str, Any]) -> list[str]:
    """Say what an int8 file does on other x86 processors than one like the one it was proved on."""
    names = [n for n, v in manifest["variants"].items() if v["precision"] in EIGHT_BIT_PRODUCTS]
    if not names or (manifest["target"], manifest["provider"]) not in X86:
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


def _artifacts(manifest: dict[str, Any]) -> list[str]:
    """Return the files that a device trains with, and what it trains."""
    training = manifest.get("training")
    if training is None:
        return []
    sizes = {item["path"]: item["size_bytes"] for item in manifest["files"]}
    lines = ["| artifact | file | kB |", "|---|---|---|"]
    lines += [
        f"| {role} | `{path}` | {sizes[path] / 1e3:,.1f} |"
        for role, path in training["files"].items()
    ]
    ends = [*training["inputs"], training["target"]]
    names = ", ".join(f"`{item['name']}`" for item in training["trainable"][:MOST_ALIKE])
    more = len(training["trainable"]) - MOST_ALIKE
    told = f"{names} and {more} more" if more > 0 else names
    return [
        *lines,
        "",
        f"A step takes {_values(ends)}. It trains {training['trainable_values']:,} values: {told}.",
        "",
    ]


def _variants(manifest: dict[str, Any]) -> list[str]:
    sizes = {item["path"]: item["size_bytes"] for item in manifest["files"]}
    lines = ["| variant | file | MB | inputs | outputs |", "|---|---|---|---|---|"]
    for name, variant in manifest["variants"].items():
        for role, path in models(variant["files"]).items():
            graph = variant.get("graphs", {}).get(role, variant)
            lines.append(
                f"| {name} | `{path}` | {sizes[path] / 1e6:.1f} "
                f"| {_values(graph['inputs'])} | {_values(graph['outputs'])} |"
            )
    return lines


def _estimates(manifest: dict[str, Any]) -> list[str]:
    """Return how the provider would take each graph, by the operators that it has kernels for."""
    found = [
        f"- {name}: {variant['partition']['text']}"
        for name, variant in manifest["variants"].items()
        if variant.get("partition")
    ]
    return ["Estimated from the provider's list of operators:", "", *found, ""] if found else []


def _values(values: list[dict[str, Any]]) -> str:
    """Return the ends of a graph; caches that differ in the layer alone are one entry."""
    found = []
    for key, group in groupby(values, lambda value: (value["type"], tuple(value["axes"]))):
        names = [f"`{value['name']}`" for value in group]
        shown = [f"{names[0]} to {names[-1]}"] if len(names) > MOST_ALIKE else names
        found += [f"{name} {key[0]} [{', '.join(map(str, key[1]))}]" for name in shown]
    return ", ".join(found)


def _packages(manifest: dict[str, Any]) -> list[str]:
    # No newer version of the packages that train is like the one that the artifacts were proved by.
    newer = "" if "training" in manifest else " or newer"
    return [
        f"- {package['name']} ({package['ecosystem']}) {package['lowest']}{newer}: {package['why']}"
        for package in manifest["runtime"]["packages"]
    ]
