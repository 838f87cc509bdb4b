"""Layers to leave in fp32: sets that help much for their bytes, each measured end to end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx

from olive_build.attribution.damage import (
    LayerDamage,
    Measure,
    cosine_loss,
    paired_outputs,
)
from olive_build.attribution.graft import restore
from olive_build.attribution.layers import REWRITTEN, Layer
from olive_build.attribution.session import Arrays, Runner

# A set that takes away less of the damage than this is no advice.
LEAST_SHARE = 0.05
HALF = 0.5
TRIALS = 5


@dataclass(frozen=True)
class Suggestion:
    """Layers to exclude from quantization, and what that was found to change.

    `exclude` are shell patterns that match these layers' nodes and no other layer's. `before` and
    `after` are the measure's means over the samples, of the variant and of the variant with these
    layers in fp32; `expected` is the part of the damage that they do by themselves.
    """

    layers: tuple[Layer, ...]
    exclude: tuple[str, ...]
    added_bytes: int
    expected: float
    before: float
    after: float

    @property
    def gain(self) -> float:
        """The part of the loss that it takes away: 1 is all of it."""
        return 1 - self.after / self.before if self.before > 0 else 0.0


def suggest(
    damages: Sequence[LayerDamage],
    reference: onnx.ModelProto,
    variant: onnx.ModelProto,
    feeds: Sequence[Arrays],
    *,
    measure: Measure | None = None,
) -> tuple[Suggestion, ...]:
    """Return exclusions that were tried and help, the one that gains most per added byte first.

    Tried are single layers, all layers of a kind, and the fewest bytes that undo half of the
    damage. Each is grafted into the variant and measured on all `feeds`. Empty where nothing helps.
    """
    quantized = [item for item in damages if item.layer.precision != REWRITTEN]
    names = [node.name for node in reference.graph.node]
    measure = measure or cosine_loss
    runner = Runner(reference)
    expected = [runner.run(feed) for feed in feeds]
    before = _loss(variant, reference, feeds, expected, measure)
    found = []
    for chosen in _candidates(quantized)[:TRIALS]:
        layers = tuple(item.layer for item in chosen)
        restored = restore(reference, variant, layers)
        found.append(
            Suggestion(
                layers=layers,
                exclude=exclude_patterns(layers, [i.layer for i in quantized], names),
                added_bytes=_added_bytes(chosen),
                expected=sum(item.share for item in chosen),
                before=before,
                after=_loss(restored, reference, feeds, expected, measure),
            )
        )
    helpful = [item for item in found if item.after < item.before]
    return tuple(sorted(helpful, key=lambda item: -item.gain / max(1, item.added_bytes)))


def _loss(
    model: onnx.ModelProto,
    reference: onnx.ModelProto,
    feeds: Sequence[Arrays],
    expected: Sequence[Arrays],
    measure: Measure,
) -> float:
    names = paired_outputs(reference, model)
    runner = Runner(model)
    losses = []
    for feed, outputs in zip(feeds, expected, strict=True):
        found = runner.run(feed, list(names.values()))
        losses.append(measure(outputs, {name: found[other] for name, other in names.items()}, feed))
    return sum(losses) / len(losses)


def _added_bytes(chosen: Iterable[LayerDamage]) -> int:
    return sum(item.layer.reference_bytes - item.layer.variant_bytes for item in chosen)


def _candidates(damages: Sequence[LayerDamage]) -> list[tuple[LayerDamage, ...]]:
    """Return sets worth trying, the one with most expected gain per byte first."""
    by_value = sorted(damages, key=_value, reverse=True)
    sets: dict[tuple[LayerDamage, ...], None] = {}
    for item in by_value:
        sets[(item,)] = None
    kinds: dict[str, list[LayerDamage]] = {}
    for item in damages:
        kinds.setdefault(_kind(item.layer.name), []).append(item)
    sets.update({tuple(kind): None for kind in kinds.values()})
    half: list[LayerDamage] = []
    for item in by_value:
        if sum(other.share for other in half) >= HALF:
            break
        half.append(item)
    enough = [chosen for chosen in sets if sum(item.share for item in chosen) >= LEAST_SHARE]
    enough.sort(key=lambda chosen: -sum(i.share for i in chosen) / max(1, _added_bytes(chosen)))
    best = enough[: TRIALS - 1]
    in_order = tuple(item for item in damages if item in half)
    return best if not in_order or in_order in best else [*best, in_order]


def _value(item: LayerDamage) -> float:
    return item.share / max(1, _added_bytes([item]))


def _kind(name: str) -> str:
    """Return the name with its numbers left open: the same for one place of every block."""
    return re.sub(r"\d+", "#", name)


def exclude_patterns(
    chosen: Sequence[Layer], layers: Sequence[Layer], names: Iterable[str]
) -> tuple[str, ...]:
    """Return shell patterns that match the chosen layers' nodes and no node of another layer.

    Layers whose names differ in numbers alone are one pattern, where that holds. `names` are all
    nodes of the graph that is quantized: a pattern must not reach one that is no layer either.
    """
    wanted = {layer.name for layer in chosen}
    others = {*names, *(layer.name for layer in layers)} - wanted
    patterns: list[str] = []
    covered: set[str] = set()
    for layer in chosen:
        if layer.name in covered:
            continue
        alike = {name for name in wanted if _kind(name) == _kind(layer.name)}
        open_numbers = re.sub(r"\d+", "*", _escaped(layer.name))
        digits = re.sub(r"\d", "[0-9]", _escaped(layer.name))
        for pattern in (open_numbers, digits) if len(alike) > 1 else ():
            matched = {name for name in wanted if fnmatchcase(name, pattern)}
            if alike <= matched and not any(fnmatchcase(name, pattern) for name in others):
                break
        else:
            pattern, matched = _escaped(layer.name), {layer.name}
        patterns.append(pattern)
        covered |= matched
    return tuple(patterns)


def _escaped(name: str) -> str:
    """Return the name as a shell pattern that matches it alone."""
    return re.sub(r"([*?\[])", r"[\1]", name)
