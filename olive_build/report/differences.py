"""Two bundles side by side: what was asked, what it was made with, what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from olive_build.proof.figures import of_quality
from olive_build.record.codec import encode
from olive_build.record.manifest import Training, Variant
from olive_build.record.proof import Cost, StepCost, Trained, VariantProof
from olive_build.record.read import read_record
from olive_build.report.blocks import by_place, table
from olive_build.report.render.terminal import print_block

SHOWN_DIGITS = 12
OF_BUNDLE = ("recipe", "target", "provider", "status", "smoke")
OF_VARIANT = ("precision", "quantize", "opsets", "operators", "inputs", "outputs")
# Beside those in words, of each number of threads, which differ with every measurement.
COSTS = ("milliseconds_per_step", "peak_bytes")
# A list of losses and of files says nothing that the differences and digests do not.
LEFT_OUT = ("losses", "loads", "compared", "cost", "personalised", "gradients", "parameters")


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
    yield from _maps("training", *_settings(*(manifest.training for manifest in manifests)))
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
    trained = [_of_training(item.training) if item and item.training else {} for item in both]
    yield from _maps(f"{name}: training", *trained)


def _settings(old: Training | None, new: Training | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what two manifests say of training as it is compared; empty where one does not train.

    `learns` has the parameters, by name and shape, that learn in one of both alone; of those that
    stay as they are it is told how many there are.
    """
    both = (old, new)
    learn = [
        [f"{item.name} {list(item.shape)}" for item in training.trainable] if training else []
        for training in both
    ]
    found: list[dict[str, Any]] = []
    for number, training in enumerate(both):
        told = encode(training) if training else {}
        settings = {key: told[key] for key in told if key not in ("trainable", "frozen")}
        others = set(learn[1 - number])
        if alone := [name for name in learn[number] if name not in others]:
            settings["learns"] = alone
        if training:
            settings["stay as they are"] = len(training.frozen)
        found.append(settings)
    return found[0], found[1]


def _of_training(trained: Trained) -> dict[str, Any]:
    """Return the figures of one variant's training as they are compared."""
    found = {key: value for key, value in encode(trained).items() if key not in LEFT_OUT}
    found["gradient_difference"] = trained.gradients.worst
    found["parameters_difference"] = trained.parameters.worst
    found["cost"] = _costs(trained.cost)
    if personalised := trained.personalised:
        rates = {"all owners": personalised.pooled, **personalised.owners}
        found["equal_error_rate"] = {name: item.rate for name, item in rates.items()}
    return found


def _costs(cost: Cost | StepCost) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(cost, name) for name in COSTS}
    if isinstance(cost, Cost) and cost.all_cores:
        found["all_cores"] = _costs(cost.all_cores)
    return found


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
