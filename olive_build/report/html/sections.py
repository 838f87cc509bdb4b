"""The parts of a page that show one build: its variants, gates, speed, steps and layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olive_build.record.proof import Finding, Gate
from olive_build.report.html.axes import from_zero
from olive_build.report.html.bars import Bar, bars
from olive_build.report.html.bundles import BundleView, VariantView
from olive_build.report.html.made_by import StepView
from olive_build.report.html.markup import Child, Markup, join, tag
from olive_build.report.html.numbers import (
    data,
    limit_text,
    megabytes,
    seconds,
    short_title,
    text_of,
    title_of,
)
from olive_build.report.html.page import (
    Column,
    Section,
    figure,
    group,
    joined,
    meter,
    paragraph,
    row,
    rows,
    status,
    table,
)
from olive_build.report.html.tradeoff import series_of, tradeoff

NONE = "\u2013"
MOST_BARS = 24
SHOWN_FIGURES = 4
LONG_REMARK = 130
SHOWN_REMARK = 80


def overview(bundles: Sequence[BundleView]) -> Section:
    """Return every variant with its size, quality and speed."""
    variants = [item for bundle in bundles for item in bundle.variants]
    names = [name for item in variants for name in item.figures]
    figures = list(dict.fromkeys(names))[:SHOWN_FIGURES]
    # Of what goes on learning, steps of training are timed: they have a section of their own.
    timed = any(item.training is None for item in variants)
    speeds = ("Times PyTorch", "Loads in", "Peak memory") if timed else ()
    columns = [
        Column("Variant", "name"),
        Column("Size", "number"),
        Column("of fp32", "number"),
        *(Column(title, "number") for title in (*map(short_title, figures), *speeds)),
        Column("Verdict"),
    ]
    bodies = [
        group(
            join(
                bundle.target,
                " ",
                tag("small", f"{bundle.manifest.provider}: {bundle.manifest.status}"),
            ),
            len(columns),
            (
                row(columns, cells)
                for item in bundle.variants
                for cells in _lines(item, figures, timed=timed)
            ),
        )
        for bundle in bundles
    ]
    caption = (
        "Quality is the worst of a variant's files, and of inputs one by one and in batches, "
        "against PyTorch."
    )
    return Section("variants", "Variants", table("variants", columns, bodies, caption=caption))


def _lines(item: VariantView, figures: Sequence[str], *, timed: bool) -> Iterator[list[Child]]:
    """Yield a variant's row, and one for processors on which it gives other figures."""
    speeds = _speed_cells(item) if timed else []
    yield [*_variant_cells(item, figures), *speeds, status(item.proof.verdict)]
    if item.without_vnni:
        found = item.without_vnni
        quality = [
            data(found[name], text_of(name, found[name])) if name in found else NONE
            for name in figures
        ]
        about = join(item.name, " ", tag("small", "on x86 without VNNI, emulated"))
        yield [about, NONE, NONE, *quality, "not measured", NONE, NONE, ""]


def _variant_cells(item: VariantView, figures: Sequence[str]) -> list[Child]:
    return [
        join(
            item.name,
            " ",
            tag("small", item.made.precision) if item.made.precision != item.name else None,
        ),
        data(item.proof.size_bytes, megabytes(item.proof.size_bytes)),
        data(item.proof.ratio, text_of("size_ratio", item.proof.ratio)),
        *(
            data(item.figures[name], text_of(name, item.figures[name]))
            if name in item.figures
            else NONE
            for name in figures
        ),
    ]


def _speed_cells(item: VariantView) -> list[Child]:
    fastest = item.speed
    return [
        join(
            data(fastest.times, f"{fastest.times:.2f} \u00d7"),
            tag("br"),
            tag("small", fastest.place),
        )
        if fastest
        else "not measured",
        NONE if item.load_ms is None else data(item.load_ms, f"{item.load_ms:.0f} ms"),
        NONE if item.memory_mb is None else data(item.memory_mb, f"{item.memory_mb:.0f} MB"),
    ]


def tradeoffs(bundles: Sequence[BundleView]) -> Section | None:
    """Return the plots of size, quality and speed; what goes on learning has nothing to trade."""
    variants = [item for bundle in bundles for item in bundle.variants if item.training is None]
    plots = tradeoff(variants) if variants else None
    return None if plots is None else Section("tradeoff", "Size, quality, speed", plots)


def speed(bundles: Sequence[BundleView]) -> Section | None:
    """Return how fast each variant is at each size and thread count."""
    variants = [item for bundle in bundles for item in bundle.variants if item.speeds]
    if not variants:
        return None
    floors = {
        (item.target, item.name, gate.size): gate.limit
        for item in variants
        for gate in item.proof.gates
        if gate.figure == "speedup"
    }
    series = series_of([item for bundle in bundles for item in bundle.variants])
    several = len({item.target for item in variants}) > 1
    drawn = [
        Bar(
            f"{item.target + ' ' if several else ''}{item.name}, "
            f"{one.row.tokens}, {one.row.threads} thr.",
            one.times,
            f"{one.times:.2f} \u00d7",
            one.low,
            one.high,
            floors.get((item.target, item.name, one.row.tokens)) if one.row.threads == 1 else None,
            series[item.name],
        )
        for item in variants
        for one in item.speeds
    ][:MOST_BARS]
    edges = [value for bar in drawn for value in (bar.value, bar.high, bar.limit) if value]
    axis = from_zero("times PyTorch eager", edges)
    said = "; ".join(f"{bar.label}: {bar.text}" for bar in drawn)
    plot = bars("speeds", axis, drawn, summary=f"Speed against PyTorch eager. {said}.")
    caption = "The line over a bar is where the median lies for certain; a dashed mark is a budget."
    return Section("speed", "Speed", joined([figure(plot, caption), _speed_table(variants)]))


def _speed_table(variants: Sequence[VariantView]) -> Markup:
    columns = [
        Column("Variant", "name"),
        Column("Input", "short"),
        Column("Time", "number"),
        Column("Times PyTorch", "number"),
        Column("For certain", "number"),
        Column("Times the fp32 graph", "number"),
        Column("Machine"),
    ]
    cells = [
        [
            f"{item.target} {item.name}",
            one.place,
            data(one.milliseconds, f"{one.milliseconds:.2f} ms"),
            data(one.times, f"{one.times:.2f} \u00d7"),
            f"{one.low:.2f} to {one.high:.2f}",
            NONE
            if one.against_fp32 is None
            else data(one.against_fp32, f"{one.against_fp32:.2f} \u00d7"),
            "noisy" if one.row.noisy else "quiet",
        ]
        for item in variants
        for one in item.speeds
    ]
    caption = "Ratios of times that were taken in turn, each candidate in a process of its own."
    return table("speed-table", columns, [rows(columns, cells)], caption=caption)


def gates(bundles: Sequence[BundleView]) -> Section:
    """Return every gate with its figure, its limit and its verdict."""
    columns = [
        Column("Figure", "name"),
        Column("Value", "number"),
        Column("Limit", "number"),
        Column("Verdict"),
        Column("Remark", "long"),
    ]
    bodies = []
    for bundle in bundles:
        for item in bundle.variants:
            title = f"{bundle.target} {item.name}"
            found = [row(columns, _gate_cells(gate)) for gate in dict.fromkeys(item.proof.gates)]
            found += [row(columns, _finding_cells(finding)) for finding in item.proof.static_check]
            if found:
                bodies.append(group(title, len(columns), found))
    caption = "What a bundle is held to; one that fails is not published."
    return Section("gates", "Gates", table("gates", columns, bodies, caption=caption))


def _gate_cells(gate: Gate) -> list[Child]:
    name, value, interval = gate.figure, gate.value, gate.interval
    between = None
    if interval:
        between = tag("small", f" {interval[0]:.3g} to {interval[1]:.3g}")
    size = f" at {gate.size}" if gate.size is not None else ""
    return [
        title_of(name) + size,
        "not measured" if value is None else join(data(value, text_of(name, value)), between),
        f"{gate.bound} {limit_text(name, gate.limit)}",
        status(gate.status),
        gate.note,
    ]


def _finding_cells(finding: Finding) -> list[Child]:
    words = (finding.what, finding.why, finding.hint)
    is_error = finding.severity == "error"
    verdict = status("failed") if is_error else tag("span", finding.severity, class_="status")
    return ["static check", NONE, NONE, verdict, folded("; ".join(filter(None, words)))]


def folded(text: str) -> Child:
    """Return a text; of a long one the beginning, which opens to all of it."""
    if len(text) <= LONG_REMARK:
        return text
    start = text[:SHOWN_REMARK].rsplit(" ", 1)[0]
    return tag("details", tag("summary", f"{start}\u2026"), text)


def steps(found: Sequence[StepView]) -> Section:
    """Return what each step took, longest bars first in sight."""
    if not found:
        text = (
            "The cache of this machine does not know the steps that made these files: they were "
            "built elsewhere, or the cache was cleaned."
        )
        return Section("steps", "Steps", paragraph(text))
    longest = max(step.seconds for step in found)
    most = max((step.peak_bytes or 0 for step in found), default=0) or 1
    columns = [
        Column("Step", "name"),
        Column("Kind"),
        Column("Time", "number"),
        Column("Peak memory", "number"),
        Column("Output", "number"),
    ]
    body = rows(columns, ([*_step_cells(step, longest, most)] for step in found))
    made = sum(step.seconds for step in found if not step.proves)
    total = sum(step.seconds for step in found)
    caption = (
        f"{len(found)} steps, {seconds(made)} to make the files and {seconds(total - made)} to "
        "measure them, as they ran last; several run at once, and what did not change runs once."
    )
    return Section("steps", "Steps", table("steps", columns, [body], caption=caption))


def _step_cells(step: StepView, longest: float, most: float) -> list[Child]:
    time, memory = seconds(step.seconds), NONE
    share = step.seconds / longest if longest else 0.0
    peak: Child = memory
    if step.peak_bytes:
        shown = megabytes(step.peak_bytes)
        peak = join(data(step.peak_bytes, shown), meter(step.peak_bytes / most, shown))
    slot = step.slot.replace("/", "/\u200b")
    return [
        tag("span", slot, class_="code"),
        step.kind,
        join(data(step.seconds, time), meter(share, time)),
        peak,
        data(step.size_bytes, megabytes(step.size_bytes)),
    ]
