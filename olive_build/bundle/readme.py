"""The README of a bundle: what is in it, how it was proved, and code that loads it.

The code is a template in the target's language, filled from the manifest, so that names, shapes
and packages are those of the files beside it.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import Any

from olive_build.targets import load_target

README = "README.md"


def readme(manifest: dict[str, Any], facts: Any) -> bytes:
    """Return the README for a manifest; the first variant is the one that the code loads."""
    lines = [
        f"# {manifest['recipe']} for {manifest['target']}",
        "",
        f"{manifest['description']}.",
        "",
        f"Status: {manifest['status']}.",
        "",
        *_variants(manifest),
        "",
        "## What the application needs",
        "",
        *_packages(manifest),
        "",
        "## Code",
        "",
        _code(manifest, facts),
        "",
        "## Where it comes from",
        "",
        f"Model: {manifest['model']['origin']} {manifest['model']['revision']}".rstrip() + ", "
        f"licence {manifest['model']['licence']}. `manifest.json` lists every file with its "
        "sha256, the operators of each graph and the tools; `proof.json` holds what was measured, "
        "where, and against which limits; `reference/` the inputs with PyTorch's outputs. "
        "`olive-build verify <this folder>` checks all of it again.",
        "",
    ]
    return "\n".join(lines).encode()


def _code(manifest: dict[str, Any], facts: Any) -> str:
    language = load_target(manifest["target"]).language
    name, variant = next(iter(manifest["variants"].items()))
    output = variant["outputs"][0]
    template = files("olive_build.bundle").joinpath("templates", f"{language}.md")
    filled = Template(template.read_text(encoding="utf-8")).substitute(
        recipe=manifest["recipe"],
        variant=name,
        file=variant["files"].get("onnx") or variant["files"]["ort"],
        input=variant["inputs"][0]["name"],
        output=output["name"],
        dimensions=output["axes"][-1],
        execution_provider=manifest["execution_provider"],
        pooling=facts.pooling,
        normalize=str(facts.normalize).lower(),
    )
    return filled.strip()


def _variants(manifest: dict[str, Any]) -> list[str]:
    sizes = {item["path"]: item["size_bytes"] for item in manifest["files"]}
    lines = ["| variant | file | MB | inputs | outputs |", "|---|---|---|---|---|"]
    for name, variant in manifest["variants"].items():
        for role in ("onnx", "ort"):
            path = variant["files"].get(role)
            if path:
                lines.append(
                    f"| {name} | `{path}` | {sizes[path] / 1e6:.1f} "
                    f"| {_values(variant['inputs'])} | {_values(variant['outputs'])} |"
                )
    return lines


def _values(values: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"`{value['name']}` {value['type']} [{', '.join(map(str, value['axes']))}]"
        for value in values
    )


def _packages(manifest: dict[str, Any]) -> list[str]:
    return [
        f"- {package['name']} ({package['ecosystem']}) {package['lowest']} or newer: "
        f"{package['why']}"
        for package in manifest["runtime"]["packages"]
    ]
