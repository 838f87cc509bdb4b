"""Every variant with its size, quality and speed; in two builds, how size and quality changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from olive_build.proof.figures import find
from olive_build.report.blocks import (
    NONE,
    Cell,
    Column,
    Content,
    Fact,
    Section,
    Table,
    group,
    status,
    table,
)
from olive_build.report.builds import Build, BundleView, VariantView
from olive_build.report.comparison import Change, Comparison, change, judged, percent
from olive_build.report.numbers import (
    figure,
    megabytes,
    number,
    short_title,
    signed,
    size,
    text_of,
    title_of,
)
from olive_build.report.sections import Capability

SHOWN_FIGURES = 4


def of_one(build: Build) -> Iterator[Section]:
    """Yield the table of variants."""
    names = [name for item in build.variants for name in item.figures]
    figures = list(dict.fromkeys(names))[:SHOWN_FIGURES]
    # Of what goes on learning, steps of training are timed: they have a section of their own.
    speeds = ("Times PyTorch", "Loads in", "Peak memory") if build.inferring else ()
    columns = (
        Column("Variant", "name"),
        Column("Size", "number"),
        Column("of fp32", "number"),
        *(Column(title, "number") for title in (*map(short_title, figures), *speeds)),
        Column("Verdict"),
    )
    groups = tuple(
        group(
            _rows(bundle, figures, timed=bool(speeds)),
            bundle.target,
            f"{bundle.manifest.provider}: {bundle.manifest.status}",
        )
        for bundle in build.bundles
    )
    caption = (
        "Quality is the worst of a variant's files, and of inputs one by one and in batches, "
        "against PyTorch."
    )
    yield Section("variants", "Variants", (Table("variants", columns, groups, caption),))


def _rows(bundle: BundleView, figures: Sequence[str], *, timed: bool) -> Iterator[list[Content]]:
    """Yield a row for each variant, and one for processors on which it gives other figures."""
    for item in bundle.variants:
        precision = item.made.precision
        yield [
            Cell(item.name, remark=precision if precision != item.name else ""),
            size(item.proof.size_bytes),
            number(item.proof.ratio, text_of("size_ratio", item.proof.ratio)),
            *(figure(name, item.figures) for name in figures),
            *(_speeds(item) if timed else ()),
            status(item.proof.verdict),
        ]
        if item.without_vnni:
            about = Cell(item.name, remark="on x86 without VNNI, emulated")
            quality = [figure(name, item.without_vnni) for name in figures]
            yield [
                about,
                NONE,
                NONE,
                *quality,
                *(("not measured", NONE, NONE) if timed else ()),
                "",
            ]


def _speeds(item: VariantView) -> list[Content]:
    best, load, memory = item.speed, item.load_ms, item.memory_mb
    return [
        number(best.times, f"{best.times:.2f} \u00d7", best.place) if best else "not measured",
        number(load, f"{load or 0:.0f} ms"),
        number(memory, f"{memory or 0:.0f} MB"),
    ]


def facts(build: Build) -> Iterator[Fact]:
    """Yield the smallest variant."""
    if build.inferring:
        smallest = min(build.inferring, key=lambda item: item.proof.size_bytes)
        proof = smallest.proof
        remark = f"{smallest.name}, {proof.ratio:.1%} of fp32"
        yield Fact("Smallest", number(proof.size_bytes, megabytes(proof.size_bytes), remark))


def changes(old: VariantView, new: VariantView, _same_machine: bool) -> Iterator[Change]:
    """Yield how size and quality changed."""
    sizes = old.proof.size_bytes, new.proof.size_bytes
    verdict = judged(*sizes, less_is_better=True)
    yield change("size", *sizes, megabytes, percent(*sizes), verdict)
    for name in dict.fromkeys((*old.figures, *new.figures)):
        before, after = old.figures.get(name), new.figures.get(name)
        amount = NONE
        if before is not None and after is not None:
            amount = signed(after - before, text_of(name, abs(after - before)))
        verdict = judged(before, after, less_is_better=find(name).better == "less")
        text = partial(text_of, name)
        yield change(title_of(name), before, after, text, amount, verdict)


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield the verdicts of both builds."""
    rows: list[list[Content]] = [
        [f"{pair.target} {name}", status(old.proof.verdict), status(new.proof.verdict)]
        for pair in found.pairs
        for name, old, new in pair.variants()
        if old and new
    ]
    columns = Column("Variant", "name"), Column("First"), Column("Second")
    caption = "The verdict of each variant in both builds."
    yield Section("verdicts", "Verdicts", (table("verdicts", columns, rows, caption),))


CAPABILITY = Capability(20, of_one, of_two, facts, changes)
