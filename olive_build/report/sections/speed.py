"""How fast each variant is at each size and on each number of threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olive_build.report.blocks import Chart, Fact, Section, Table, table
from olive_build.report.builds import Build, VariantView
from olive_build.report.charts import Bar, Bars, from_zero
from olive_build.report.comparison import Change, change, percent
from olive_build.report.numbers import number
from olive_build.report.sections import Capability
from olive_build.report.sections.tradeoff import series_of

MOST_BARS = 24
TIMES = "{:.2f} \u00d7"


def of_one(build: Build) -> Iterator[Section]:
    """Yield bars with their intervals and budgets, and the table of times."""
    timed = [item for item in build.variants if item.speeds]
    if timed:
        bars = _bars(timed, series_of(build.variants))
        edges = [value for bar in bars for value in (bar.value, bar.high, bar.limit) if value]
        said = "; ".join(f"{bar.label}: {bar.text}" for bar in bars)
        chart = Chart(
            "speeds",
            Bars(from_zero("times PyTorch eager", edges), bars),
            f"Speed against PyTorch eager. {said}.",
            "The line over a bar is where the median lies for certain; a dashed mark is a budget.",
        )
        yield Section("speed", "Speed", (chart, _table(timed)))


def _bars(timed: Sequence[VariantView], series: dict[str, int]) -> tuple[Bar, ...]:
    several = len({item.target for item in timed}) > 1
    bars = []
    for item in timed:
        floors = {gate.size: gate.limit for gate in item.proof.gates if gate.figure == "speedup"}
        name = f"{item.target + ' ' if several else ''}{item.name}"
        bars += [
            Bar(
                f"{name}, {one.row.tokens}, {one.row.threads} thr.",
                one.times,
                TIMES.format(one.times),
                one.low,
                one.high,
                floors.get(one.row.tokens) if one.row.threads == 1 else None,
                series[item.name],
            )
            for one in item.speeds
        ]
    return tuple(bars[:MOST_BARS])


def _table(timed: Sequence[VariantView]) -> Table:
    return table(
        "speed-table",
        "Ratios of times that were taken in turn, each candidate in a process of its own.",
        [(f"{item.target} {item.name}", one) for item in timed for one in item.speeds],
        ("Variant", "name", lambda row: row[0]),
        ("Input", "short", lambda row: row[1].place),
        ("Time", "number", lambda row: number(row[1].milliseconds, "{:.2f} ms")),
        ("Times PyTorch", "number", lambda row: number(row[1].times, TIMES)),
        ("For certain", "number", lambda row: f"{row[1].low:.2f} to {row[1].high:.2f}"),
        ("Times the fp32 graph", "number", lambda row: number(row[1].against_fp32, TIMES)),
        ("Machine", "", lambda row: "noisy" if row[1].row.noisy else "quiet"),
    )


def facts(build: Build) -> Iterator[Fact]:
    """Yield the fastest variant."""
    speeds = [item.speed for item in build.variants if item.speed]
    if speeds:
        one = max(speeds, key=lambda item: item.times)
        yield Fact("Fastest", number(one.times, "{:.1f} \u00d7 PyTorch", one.place))


def changes(old: VariantView, new: VariantView, same_machine: bool) -> Iterator[Change]:
    """Yield each speed in both builds.

    Medians that may be equal are no verdict; and another machine tells nothing.
    """
    before = {item.place: item for item in old.speeds}
    after = {item.place: item for item in new.speeds}
    for place in dict.fromkeys((*before, *after)):
        one, other = before.get(place), after.get(place)
        times = one.times if one else None, other.times if other else None
        verdict = "unclear"
        if one and other:
            if (one.times, one.low, one.high) == (other.times, other.low, other.high):
                verdict = "same"
            elif same_machine and (one.high < other.low or other.high < one.low):
                verdict = "better" if other.times > one.times else "worse"
        title = f"times PyTorch eager, {place}"
        yield change(title, *times, TIMES.format, percent(*times), verdict)


CAPABILITY = Capability(40, of_one, facts=facts, changes=changes)
