"""How fidelity falls stage by stage, the layers that do most damage, and what to change."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import (
    Block,
    Chart,
    Column,
    Content,
    Section,
    Table,
    Text,
    code,
    table,
)
from olive_build.report.builds import Build
from olive_build.report.charts import Bar, Bars, from_zero, told_apart
from olive_build.report.comparison import Comparison
from olive_build.report.damage import DamageView
from olive_build.report.numbers import figure, number, short_title
from olive_build.report.sections import Capability

MOST_LAYERS = 15
COLUMNS = (
    Column("Layer", "name"),
    Column("Precision"),
    Column("Damage", "number"),
    Column("Share", "number"),
    Column("Own noise", "number"),
    Column("So far", "number"),
)


def of_one(build: Build) -> Iterator[Section]:
    """Yield a section for each variant whose layers were measured."""
    for count, found in enumerate(build.damages, 1):
        name = f"layers-{count}"
        blocks: list[Block] = [Text(f"{found.variant} against {found.reference}", "note")]
        if found.stages:
            blocks.append(_stages(name, found))
        blocks += [_chart(name, found), _layers(name, found)]
        if found.recipe_change:
            blocks.append(Text("What would gain most for its bytes, in the recipe:"))
            blocks.append(Text(found.recipe_change, "code"))
        yield Section(name, "Layers by damage" + f" {count}" * (count > 1), tuple(blocks))


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield those of the second build."""
    yield from of_one(found.new)


def _chart(name: str, found: DamageView) -> Chart:
    worst = found.worst[:MOST_LAYERS]
    labels = told_apart([item.node for item in worst])
    bars = tuple(
        Bar(label, item.share * 100, f"{item.share:.1%}")
        for label, item in zip(labels, worst, strict=True)
    )
    axis = from_zero("share of the damage in %", [bar.value for bar in bars])
    said = "; ".join(f"{item.node}: {item.share:.1%}" for item in worst)
    caption = f"The {len(worst)} worst of {len(found.layers)} layers."
    return Chart(f"{name}-plot", Bars(axis, bars), f"Layers by damage. {said}.", caption)


def _layers(name: str, found: DamageView) -> Table:
    rows: list[list[Content]] = [
        [
            code(item.node),
            item.precision,
            number(item.damage, f"{item.damage:.2e}"),
            number(item.share, f"{item.share:.1%}", share=item.share),
            number(item.own_db, f"{item.own_db or 0:.1f} dB"),
            number(item.accumulated_db, f"{item.accumulated_db or 0:.1f} dB"),
        ]
        for item in found.worst[:MOST_LAYERS]
    ]
    caption = (
        "Damage: the loss at the model's end when this layer alone is quantized. Noise: signal to "
        "noise at its own output, by itself and with all that comes before."
    )
    return table(name, COLUMNS, rows, caption)


def _stages(name: str, found: DamageView) -> Table:
    figures = list(dict.fromkeys(key for stage in found.stages for key in stage.figures))
    columns = [
        Column("After the step", "name"),
        *(Column(short_title(key), "number") for key in figures),
        Column("Remark", "long"),
    ]
    rows: list[list[Content]] = [
        [code(item.step), *(figure(key, item.figures) for key in figures), item.problem or ""]
        for item in found.stages
    ]
    return table(f"{name}-stages", columns, rows, "How fidelity falls, stage by stage.")


CAPABILITY = Capability(60, of_one, of_two)
