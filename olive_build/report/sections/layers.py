"""How fidelity falls stage by stage, the layers that do most damage, and what to change."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import Block, Chart, Section, Table, Text, code, table
from olive_build.report.builds import Build
from olive_build.report.charts import Bar, Bars, from_zero, told_apart
from olive_build.report.comparison import Comparison
from olive_build.report.damage import DamageView
from olive_build.report.numbers import figure_columns, number
from olive_build.report.sections import Capability

MOST_LAYERS = 15


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
    caption = (
        "Damage: the loss at the model's end when this layer alone is quantized. Noise: signal to "
        "noise at its own output, by itself and with all that comes before."
    )
    return table(
        name,
        caption,
        found.worst[:MOST_LAYERS],
        ("Layer", "name", lambda item: code(item.node)),
        ("Precision", "", lambda item: item.precision),
        ("Damage", "number", lambda item: number(item.damage, "{:.2e}")),
        ("Share", "number", lambda item: number(item.share, "{:.1%}", share=item.share)),
        ("Own noise", "number", lambda item: number(item.own_db, "{:.1f} dB")),
        ("So far", "number", lambda item: number(item.accumulated_db, "{:.1f} dB")),
    )


def _stages(name: str, found: DamageView) -> Table:
    figures = dict.fromkeys(key for stage in found.stages for key in stage.figures)
    return table(
        f"{name}-stages",
        "How fidelity falls, stage by stage.",
        found.stages,
        ("After the step", "name", lambda item: code(item.step)),
        *figure_columns(figures),
        ("Remark", "long", lambda item: item.problem or ""),
    )


CAPABILITY = Capability(60, of_one, of_two)
