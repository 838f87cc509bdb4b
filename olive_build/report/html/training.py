"""The part of a page that shows training: what learns, what a step costs, how well it does."""

from __future__ import annotations

from collections.abc import Sequence

from olive_build.record.proof import ErrorRate
from olive_build.report.html.axes import from_zero
from olive_build.report.html.bars import Bar, bars
from olive_build.report.html.bundles import BundleView
from olive_build.report.html.markup import Child, Markup, tag
from olive_build.report.html.numbers import data, megabytes, short_title, text_of
from olive_build.report.html.page import Column, Section, figure, joined, paragraph, rows, table
from olive_build.report.html.training_view import NamedRate, TrainingView, place_of

RATE = "equal_error_rate"
NONE = "\u2013"
# Names of parameters after which the rest is folded away.
FEW = 3
Trained = tuple[BundleView, TrainingView]


def training(bundles: Sequence[BundleView]) -> Section | None:
    """Return what training bundles learn with and what was proved of it; None without one."""
    found = trained(bundles)
    if not found:
        return None
    about = paragraph(
        "A device goes on learning with these files. The figures are those of the build, in the "
        "training runtime; times and memory are those of the machine under Provenance.",
        kind="note",
    )
    rates = [
        part for bundle, view in found for part in _error_rates(bundle, view, len(bundles) > 1)
    ]
    parts = [about, _settings(found), _costs(found), _proved(found), *rates]
    return Section("training", "Training", joined(parts))


def trained(bundles: Sequence[BundleView]) -> list[Trained]:
    """Return the training bundles, each with what is shown of its training."""
    pairs = [(bundle, item.training) for bundle in bundles for item in bundle.variants]
    return [(bundle, view) for bundle, view in pairs if view is not None]


def training_facts(bundles: Sequence[BundleView]) -> list[tuple[str, Child, Child]]:
    """Return the few things to know first: what learns, what a step costs, how well it does."""
    found = trained(bundles)
    if not found:
        return []
    bundle, view = min(found, key=lambda item: item[1].cost.milliseconds_per_step)
    cost = view.cost
    place = f"{place_of(cost)}, {megabytes(cost.peak_bytes)}" + f"; {bundle.target}" * (
        len(found) > 1
    )
    whole = "all of its values"
    if view.stored_values is not None:
        whole = f"of {view.stored_values:,} values"
    shown: list[tuple[str, Child, Child]] = [
        (
            "A training step",
            data(cost.milliseconds_per_step, f"{cost.milliseconds_per_step:.3g} ms"),
            place,
        ),
        ("Learns", data(view.values, f"{view.values:,}"), whole),
    ]
    rates = [one.error_rate for _, one in found if one.error_rate]
    if rates:
        worst = max((one.rate for one in rates), key=lambda item: item.rate)
        shown.append(("Equal error rate", _percent(worst.rate), _between(worst)))
    return shown


def _settings(found: Sequence[Trained]) -> Markup:
    """Return what learns and how, equal lines of several bundles as one."""
    lines: dict[tuple[str, Child], list[str]] = {}
    for bundle, view in found:
        for line in [("Learns", _learns(view)), *view.settings]:
            lines.setdefault(line, []).append(bundle.target)
    columns = [Column("What", "name"), Column("Value", "long"), Column("Bundles")]
    width = 3 if len(found) > 1 else 2
    cells: list[list[Child]] = [
        [what, value, "all" if len(targets) == len(found) else ", ".join(targets)][:width]
        for (what, value), targets in lines.items()
    ]
    caption = "What learns, and how, unless an application says otherwise."
    return table(
        "training-settings", columns[:width], [rows(columns[:width], cells)], caption=caption
    )


def _learns(view: TrainingView) -> Markup:
    whole = f" of {view.stored_values:,}" if view.stored_values is not None else ""
    count = len(view.parameters)
    said = f"{view.values:,}{whole} values, in {count} parameter{'s' * (count > 1)}"
    names = [tag("span", name, class_="code") for name in view.parameters]
    listed = joined([part for name in names for part in (tag("br"), name)])
    if count <= FEW:
        return joined([said, listed])
    return tag("details", tag("summary", said), listed)


def _costs(found: Sequence[Trained]) -> Markup:
    columns = [
        Column("A step of", "name"),
        Column("Threads", "number"),
        Column("Time", "number"),
        Column("Peak memory", "number"),
        Column("Above the runtime's own", "number"),
    ]
    cells: list[list[Child]] = [
        [
            bundle.target,
            data(cost.threads, str(cost.threads)),
            data(cost.milliseconds_per_step, f"{cost.milliseconds_per_step:.3g} ms"),
            data(cost.peak_bytes, megabytes(cost.peak_bytes)),
            megabytes(cost.peak_bytes - cost.baseline_bytes),
        ]
        for bundle, view in found
        for cost in view.costs
    ]
    caption = (
        "Loss, gradients and optimizer on the proof's first batch: the median, in a process that "
        "has the training runtime alone."
    )
    return table("training-costs", columns, [rows(columns, cells)], caption=caption)


def _proved(found: Sequence[Trained]) -> Markup:
    names = list(dict.fromkeys(name for _, view in found for name in view.proved))
    columns = [
        Column("Proved of", "name"),
        Column("Steps", "number"),
        *(Column(short_title(name), "number") for name in names),
        Column("Gradient that differs most", "long"),
    ]
    cells: list[list[Child]] = [
        [
            bundle.target,
            str(view.steps),
            *(
                data(view.proved[name], text_of(name, view.proved[name]))
                if name in view.proved
                else NONE
                for name in names
            ),
            tag("span", view.least_alike, class_="code"),
        ]
        for bundle, view in found
    ]
    caption = "The largest differences that were found; the limits are under Gates."
    return table("training-proof", columns, [rows(columns, cells)], caption=caption)


def _error_rates(bundle: BundleView, view: TrainingView, several: bool) -> list[Markup]:
    """Return the equal error rates of a bundle as a plot and as a table."""
    if not view.error_rates:
        return []
    name, whose = f"rates-{bundle.target}", f" of {bundle.target}" * several
    limits = [
        gate.limit for item in bundle.variants for gate in item.proof.gates if gate.figure == RATE
    ]
    drawn = [
        Bar(
            one.name,
            100 * one.rate.rate,
            text_of(RATE, one.rate.rate),
            100 * one.rate.low,
            100 * one.rate.high,
            # The budget is of all together.
            100 * limits[0] if limits and not number else None,
            int(number > 0),
        )
        for number, one in enumerate(view.error_rates)
    ]
    edges = [value for bar in drawn for value in (bar.value, bar.high, bar.limit) if value]
    said = "; ".join(f"{bar.label}: {bar.text}" for bar in drawn)
    axis = from_zero("equal error rate in %: less is better", edges)
    plot = bars(name, axis, drawn, summary=f"Equal error rates{whose}. {said}.")
    caption = (
        f"Owners told from others after learning{whose}, at one threshold for all, and at each "
        "one's own. The line over a bar is where the rate lies with 95 % confidence; the dashed "
        "mark is the budget."
    )
    return [figure(plot, caption), _rate_table(name, view.error_rates)]


def _rate_table(name: str, found: Sequence[NamedRate]) -> Markup:
    columns = [
        Column("Owner", "name"),
        Column("Equal error rate", "number"),
        Column("Between", "number"),
        Column("Trials of the owner", "number"),
        Column("of impostors", "number"),
    ]
    cells: list[list[Child]] = [
        [
            one.name,
            _percent(one.rate.rate),
            _between(one.rate),
            str(one.rate.owners),
            f"{one.rate.impostors:,}",
        ]
        for one in found
    ]
    caption = "Clips that were not learned from; other owners' count as impostors' too."
    return table(f"{name}-table", columns, [rows(columns, cells)], caption=caption)


def _percent(rate: float) -> Markup:
    return data(rate, text_of(RATE, rate))


def _between(one: ErrorRate) -> str:
    return f"{one.low * 100:.1f} to {one.high * 100:.1f} %"
