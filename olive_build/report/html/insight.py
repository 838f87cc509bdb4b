"""The parts of a page that tell where fidelity goes, and what a search tried."""

from __future__ import annotations

from olive_build.report.html.axes import from_zero
from olive_build.report.html.bars import Bar, bars, told_apart
from olive_build.report.html.bundles import VariantView
from olive_build.report.html.damage import DamageView, LayerView
from olive_build.report.html.markup import Child, Markup, join, tag
from olive_build.report.html.numbers import data, short_title, text_of
from olive_build.report.html.page import (
    Column,
    Section,
    figure,
    joined,
    meter,
    paragraph,
    rows,
    status,
    table,
)
from olive_build.report.html.tradeoff import search_plots

NONE = "\u2013"
MOST_LAYERS = 15


def layers(number: int, found: DamageView) -> Section:
    """Return how fidelity falls stage by stage, the worst layers, and what to change."""
    name = f"layers-{number}"
    worst = found.layers[:MOST_LAYERS]
    axis = from_zero("share of the damage in %", [item.share * 100 for item in worst])
    drawn = [
        Bar(label, item.share * 100, f"{item.share:.1%}")
        for label, item in zip(told_apart([item.name for item in worst]), worst, strict=True)
    ]
    said = "; ".join(f"{item.name}: {item.share:.1%}" for item in worst)
    plot = bars(f"{name}-plot", axis, drawn, summary=f"Layers by damage. {said}.")
    parts: list[Child] = [
        paragraph(found.about, " against ", found.against, kind="note"),
        _stages(name, found) if found.stages else None,
        figure(plot, f"The {len(worst)} worst of {len(found.layers)} layers."),
        _layer_table(name, worst),
    ]
    if found.recipe_change:
        parts.append(paragraph("What would gain most for its bytes, in the recipe:"))
        parts.append(tag("pre", tag("code", found.recipe_change)))
    title = "Layers by damage" + f" {number}" * (number > 1)
    return Section(name, title, joined(parts))


def _layer_table(name: str, worst: tuple[LayerView, ...]) -> Markup:
    columns = [
        Column("Layer", "name"),
        Column("Precision"),
        Column("Damage", "number"),
        Column("Share", "number"),
        Column("Own noise", "number"),
        Column("So far", "number"),
    ]
    cells: list[list[Child]] = [
        [
            tag("span", item.name, class_="code"),
            item.precision,
            data(item.damage, f"{item.damage:.2e}"),
            join(data(item.share, f"{item.share:.1%}"), meter(item.share, f"{item.share:.1%}")),
            _decibels(item.own_db),
            _decibels(item.accumulated_db),
        ]
        for item in worst
    ]
    caption = (
        "Damage: the loss at the model's end when this layer alone is quantized. Noise: signal to "
        "noise at its own output, by itself and with all that comes before."
    )
    return table(name, columns, [rows(columns, cells)], caption=caption)


def _stages(name: str, found: DamageView) -> Markup:
    figures = list(dict.fromkeys(key for stage in found.stages for key in stage.figures))
    columns = [
        Column("After the step", "name"),
        *(Column(short_title(key), "number") for key in figures),
        Column("Remark", "long"),
    ]
    cells: list[list[Child]] = [
        [
            tag("span", stage.name, class_="code"),
            *(
                data(stage.figures[key], text_of(key, stage.figures[key]))
                if key in stage.figures
                else NONE
                for key in figures
            ),
            stage.problem,
        ]
        for stage in found.stages
    ]
    caption = "How fidelity falls, stage by stage."
    return table(f"{name}-stages", columns, [rows(columns, cells)], caption=caption)


def _decibels(value: float | None) -> Child:
    return NONE if value is None else data(value, f"{value:.1f} dB")


def search(number: int, item: VariantView) -> Section | None:
    """Return what a search tried for a variant, as plots and as a table."""
    if not item.search.candidates:
        return None
    name = f"search-{number}"
    figures = list(dict.fromkeys(key for one in item.search.candidates for key in one.figures))
    columns = [
        Column("Candidate", "name"),
        Column("Size", "number"),
        Column("Latency", "number"),
        *(Column(short_title(key), "number") for key in figures),
        Column("Budget"),
    ]
    cells: list[list[Child]] = [
        [
            join(one.name, " ", tag("strong", "chosen") if one.chosen else None),
            NONE if one.size_ratio is None else data(one.size_ratio, f"{one.size_ratio:.1%}"),
            NONE
            if one.latency_ratio is None
            else data(one.latency_ratio, f"{one.latency_ratio:.3g} \u00d7"),
            *(
                data(one.figures[key], text_of(key, one.figures[key]))
                if key in one.figures
                else NONE
                for key in figures
            ),
            status("held" if one.holds else "missed"),
        ]
        for one in item.search.candidates
    ]
    caption = f"{len(cells)} candidates; size and latency against the fp32 graph."
    body: list[Child] = [
        paragraph(item.search.summary) if item.search.summary else None,
        search_plots(name, item.search.candidates),
        table(f"{name}-table", columns, [rows(columns, cells)], caption=caption),
    ]
    title = f"What the search tried: {item.target} {item.name}"
    return Section(name, title, joined(body))
