"""Two bundles side by side: what was asked, what it was made with, what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from olive_build.bundle.manifest import PROOF, read_json, read_manifest
from olive_build.errors import BundleError
from olive_build.proof.figures import of_quality
from olive_build.report.style import table
from olive_build.report.training_differences import figures_of_training, settings_of_training


def print_differences(old: Path, new: Path, *, as_json: bool) -> None:
    """Print what differs between two bundles. Raises BundleError when one is damaged."""
    try:
        rows = list(differences(old, new))
    except (AttributeError, KeyError, TypeError) as error:
        raise BundleError(
            "one of the bundles is damaged",
            where=f"{old} or {new}",
            why=f"a manifest.json or proof.json is not as it was written: {error}",
            hint="olive-build verify says which",
        ) from error
    if as_json:
        keys = ("what", "old", "new")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
    elif rows:
        head = ["what", "old", "new"]
        for line in table([head, *([name, _text(a), _text(b)] for name, a, b in rows)]):
            click.echo(line)
    else:
        click.echo("no difference: same files, settings, tools and figures")


def differences(old: Path, new: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield (what, old value, new value): settings, tools, files by digest, figures."""
    manifests = [read_manifest(folder) for folder in (old, new)]
    proofs = [read_json(folder / PROOF) for folder in (old, new)]
    for key in ("recipe", "target", "provider", "status", "smoke"):
        yield from _changed(key, *(manifest.get(key) for manifest in manifests))
    for key in ("model", "tools"):
        yield from _maps(key, *(manifest.get(key, {}) for manifest in manifests))
    yield from _maps("training", *settings_of_training(*manifests))
    variants = [manifest.get("variants", {}) for manifest in manifests]
    for name in sorted({*variants[0], *variants[1]}):
        for key in ("precision", "quantize", "opsets", "operators", "inputs", "outputs"):
            values = [variant.get(name, {}).get(key) for variant in variants]
            yield from _changed(f"{name}: {key}", *values)
        yield from _figures(name, *(proof.get("variants", {}).get(name, {}) for proof in proofs))
    yield from _maps("file", *(_digests(manifest) for manifest in manifests))


def _changed(name: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _maps(name, old, new)
    elif old != new:
        yield name, old, new


def _maps(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*old, *new}):
        yield from _changed(f"{name} {key}", old.get(key), new.get(key))


def _figures(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in ("verdict", "size_bytes"):
        yield from _changed(f"{name}: {key}", old.get(key), new.get(key))
    qualities = [item.get("quality", {}) for item in (old, new)]
    for form in sorted({*qualities[0], *qualities[1]}):
        for figure in of_quality():
            values = [quality.get(form, {}).get(figure) for quality in qualities]
            yield from _changed(f"{name}.{form}: {figure}", *values)
    yield from _maps(f"{name}: training", *(figures_of_training(item) for item in (old, new)))


def _digests(manifest: dict[str, Any]) -> dict[str, str]:
    return {item["path"]: item["sha256"][:12] for item in manifest.get("files", [])}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
