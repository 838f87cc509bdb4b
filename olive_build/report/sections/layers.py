"""How fidelity falls stage by stage, the layers that do most damage, and what to change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from olive_build.report.blocks import (
    NONE,
    Block,
    Cell,
    Chart,
    ColumnOf,
    Section,
    Table,
    Text,
    code,
    table,
)
from olive_build.report.builds import Build
from olive_build.report.charts import Bar, Bars, from_zero, told_apart
from olive_build.report.comparison import Comparison
from olive_build.report.damage import DamageView, LayerView, StageView, SuggestionView
from olive_build.report.numbers import figure, megabytes, number, short_title
from olive_build.report.sections import Capability

SHOWN, DRAWN = 20, 15


def of_one(build: Build) -> Iterator[Section]:
    """Yield a section for each variant whose layers were measured."""
    for count, found in enumerate(build.damages, 1):
        name = f"layers-{count}"
        title = "Layers by damage" + f" {count}" * (count > 1)
        yield Section(name, title, tuple(blocks_of(name, found)))


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield those of the second build."""
    yield from of_one(found.new)


def blocks_of(name: str, found: DamageView) -> Iterator[Block]:
    """Yield all that is shown of one variant; `name` begins the names of the blocks."""
    inputs = f", on {found.inputs}" if found.inputs else ""
    yield Text(found.variant, "note")
    yield Text(f"against {found.reference}{inputs}", "note")
    yield from (Text(note, "note") for note in found.notes)
    if found.stages:
        yield _stages(f"{name}-stages", found.stages)
    layers = [item for item in found.ranking if not item.is_exact]
    if layers:
        yield _chart(f"{name}-plot", layers[:DRAWN], len(layers))
        yield _layers(name, layers[:SHOWN])
    yield from map(Text, _said(found, layers))
    if found.suggestions:
        yield _suggestions(f"{name}-suggestions", found.suggestions)
    if found.recipe_change:
        yield Text("What gains most for its bytes, in the recipe:")
        yield Text(found.recipe_change, "code")


def _said(found: DamageView, layers: Sequence[LayerView]) -> Iterator[str]:
    """Yield what is left of the layers, what they lose together, and whether nothing helps."""
    if rest := layers[SHOWN:]:
        yield f"and {len(rest)} more with {sum(item.share for item in rest):.1%} together"
    if exact := [item.own_db or 0 for item in found.layers if item.is_exact]:
        places = "1 place is" if len(exact) == 1 else f"{len(exact)} places are"
        yield f"{places} only written in another way: {decibels(min(exact)).text} or better"
    if found.matching_points:
        yield (
            f"all together lose {small(found.loss)} at the model's end (1 - cosine); "
            f"{found.matching_points} matching points"
        )
        if not found.suggestions:
            yield "no exclusion that was tried takes away a part of that worth its bytes"


def _stages(name: str, found: Sequence[StageView]) -> Table:
    losses: list[tuple[StageView, str]] = []
    before: float | None = None
    for stage in found:
        now = stage.figures.get("cosine_mean")
        lost = "" if now is None or before is None else small(max(0.0, before - now))
        before = now if now is not None else before
        losses.append((stage, stage.problem or lost))
    return table(
        name,
        "How fidelity falls, stage by stage.",
        losses,
        ("After the step", "name", lambda it: code(it[0].step)),
        *map(_figure_column, dict.fromkeys(key for stage in found for key in stage.figures)),
        ("Lost here", "long", lambda it: it[1]),
    )


def _figure_column(name: str) -> ColumnOf[tuple[StageView, str]]:
    return short_title(name), "number", lambda it: figure(name, it[0].figures)


def _chart(name: str, worst: Sequence[LayerView], count: int) -> Chart:
    labels = told_apart([item.node for item in worst])
    bars = tuple(
        Bar(label, item.share * 100, f"{item.share:.1%}")
        for label, item in zip(labels, worst, strict=True)
    )
    axis = from_zero("share of the damage in %", [bar.value for bar in bars])
    said = "; ".join(f"{item.node}: {item.share:.1%}" for item in worst)
    caption = f"The {len(worst)} worst of {count} layers."
    return Chart(name, Bars(axis, bars), f"Layers by damage. {said}.", caption)


def _layers(name: str, found: Sequence[LayerView]) -> Table:
    caption = (
        "Damage: the loss at the model's end when this layer alone is quantized. Noise: signal to "
        "noise at its own output, by itself and with all that comes before."
    )
    return table(
        name,
        caption,
        found,
        ("Layer", "name", lambda it: code(it.node)),
        ("Precision", "", lambda it: it.precision),
        ("Own noise", "number", lambda it: decibels(it.own_db)),
        ("Damage", "number", lambda it: number(it.damage, small(it.damage))),
        ("Share", "number", lambda it: number(it.share, "{:.1%}", share=it.share)),
        ("So far", "number", lambda it: decibels(it.accumulated_db)),
        ("Size", "number", _sizes),
    )


def _sizes(item: LayerView) -> str:
    if not item.reference_bytes:
        return NONE
    return f"{megabytes(item.reference_bytes)} -> {megabytes(item.variant_bytes)}"


def _suggestions(name: str, found: Sequence[SuggestionView]) -> Table:
    return table(
        name,
        "What it gains to leave some layers in fp32, each tried end to end.",
        found,
        ("Left in fp32", "name", _excluded),
        ("Loss", "short", lambda it: f"{small(it.loss_before)} -> {small(it.loss_after)}"),
        ("Gain", "number", lambda it: number(it.gain, "{:.0%}")),
        ("Size", "number", lambda it: f"+{megabytes(it.added_bytes)}"),
        ("Gain per MB", "number", lambda it: f"{it.gain / max(1, it.added_bytes) * 1e6:.1%}"),
    )


def _excluded(item: SuggestionView) -> str:
    return ", ".join(item.exclude[:2]) + ", ..." * (len(item.exclude) > 2)


def decibels(value: float | None) -> Cell:
    """Return a ratio of signal to noise; without any noise a layer is exact."""
    if value is None or math.isfinite(value):
        return number(value, "{:.1f} dB")
    return Cell("exact" if value > 0 else "lost")


def small(value: float) -> str:
    """Return a loss."""
    return f"{value:.1e}" if value else "0"


CAPABILITY = Capability(60, of_one, of_two)
