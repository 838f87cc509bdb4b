"""Two bundles side by side: what was asked, what it was made with, what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from olive_build.bundle.purpose import purpose_in, purpose_proved
from olive_build.proof.figures import of_quality
from olive_build.record.codec import encode
from olive_build.record.manifest import Variant
from olive_build.record.proof import VariantProof
from olive_build.record.read import read_record
from olive_build.report.blocks import by_place, table
from olive_build.report.render.terminal import print_block

SHOWN_DIGITS = 12
OF_BUNDLE = ("recipe", "target", "provider", "status", "smoke")
OF_VARIANT = ("precision", "quantize", "opsets", "operators", "inputs", "outputs")


def print_differences(old: Path, new: Path, *, as_json: bool) -> None:
    """Print what differs between two bundles. Raises BundleError when one is damaged."""
    rows = list(differences(old, new))
    if as_json:
        keys = ("what", "old", "new")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
    elif rows:
        told = [(name, _text(a), _text(b)) for name, a, b in rows]
        columns = by_place(("what", ""), ("old", ""), ("new", ""))
        print_block(table("differences", "", told, *columns))
    else:
        click.echo("no difference: same files, settings, tools and figures")


def differences(old: Path, new: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield (what, old value, new value): settings, tools, files by digest, figures."""
    records = [read_record(folder) for folder in (old, new)]
    manifests = [record.manifest for record in records]
    for key in OF_BUNDLE:
        yield from _changed(key, *(getattr(manifest, key) for manifest in manifests))
    for key in ("model", "tools"):
        yield from _maps(key, *(encode(getattr(manifest, key)) for manifest in manifests))
    pairs = (manifests, manifests[::-1])
    yield from _titled("", *(purpose_in(one).settings(one, other) for one, other in pairs))
    for name in sorted({*manifests[0].variants, *manifests[1].variants}):
        made = [_of_variant(manifest.variants.get(name)) for manifest in manifests]
        for key in OF_VARIANT:
            yield from _changed(f"{name}: {key}", *(item.get(key) for item in made))
        yield from _figures(name, *(record.proof.variants.get(name) for record in records))
    yield from _maps(
        "file",
        *(
            {path: digest[:SHOWN_DIGITS] for path, digest in manifest.digests.items()}
            for manifest in manifests
        ),
    )


def _changed(name: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _maps(name, old, new)
    elif old != new:
        yield name, old, new


def _maps(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*old, *new}):
        yield from _changed(f"{name} {key}", old.get(key), new.get(key))


def _titled(
    name: str, old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[str, Any, Any]]:
    for title in sorted({*old, *new}):
        yield from _maps(f"{name}{title}", old.get(title, {}), new.get(title, {}))


def _of_variant(variant: Variant | None) -> dict[str, Any]:
    return encode(variant) if variant else {}


def _figures(
    name: str, old: VariantProof | None, new: VariantProof | None
) -> Iterator[tuple[str, Any, Any]]:
    both = (old, new)
    for key in ("verdict", "size_bytes"):
        yield from _changed(f"{name}: {key}", *(getattr(item, key, None) for item in both))
    qualities = [item.quality if item else {} for item in both]
    for form in sorted({*qualities[0], *qualities[1]}):
        for figure in of_quality():
            values = [
                found[form].figures.get(figure) if form in found else None for found in qualities
            ]
            yield from _changed(f"{name}.{form}: {figure}", *values)
    own = (purpose_proved(item).figures(item) if item else {} for item in both)
    yield from _titled(f"{name}: ", *own)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 400 else f"{text[:397]}..."
