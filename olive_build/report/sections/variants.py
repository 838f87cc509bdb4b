"""Every variant with its size, quality and speed; in two builds, how size and quality changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from olive_build.proof.figures import find
from olive_build.report.blocks import (
    NONE,
    Cell,
    ColumnOf,
    Content,
    Fact,
    Section,
    by_place,
    grouped,
    status,
    table,
)
from olive_build.report.builds import Build, VariantView
from olive_build.report.comparison import Change, Comparison, change, judged, percent
from olive_build.report.numbers import (
    figure,
    figure_columns,
    megabytes,
    number,
    signed,
    size,
    text_of,
    title_of,
)
from olive_build.report.sections import Capability

SHOWN_FIGURES = 4


@dataclass(frozen=True)
class _Line:
    """A variant, or what it gives on processors where it gives other figures."""

    variant: VariantView
    figures: Mapping[str, float]
    emulated: bool = False


def of_one(build: Build) -> Iterator[Section]:
    """Yield the table of variants."""
    names = list(dict.fromkeys(name for item in build.variants for name in item.figures))
    groups = [
        (
            bundle.target,
            f"{bundle.manifest.provider}: {bundle.manifest.status}",
            [line for item in bundle.variants for line in _lines(item)],
        )
        for bundle in build.bundles
    ]
    caption = (
        "Quality is the worst of a variant's files, and of inputs one by one and in batches, "
        "against PyTorch."
    )
    variants = grouped(
        "variants",
        caption,
        groups,
        ("Variant", "name", _name),
        ("Size", "number", lambda it: NONE if it.emulated else size(it.variant.proof.size_bytes)),
        ("of fp32", "number", _ratio),
        *figure_columns(names[:SHOWN_FIGURES]),
        *(SPEEDS if build.to_run else ()),
        ("Verdict", "", lambda it: "" if it.emulated else status(it.variant.proof.verdict)),
    )
    yield Section("variants", "Variants", (variants,))


def _lines(item: VariantView) -> Iterator[_Line]:
    yield _Line(item, item.figures)
    if item.without_vnni:
        yield _Line(item, item.without_vnni, emulated=True)


def _name(line: _Line) -> Cell:
    name, precision = line.variant.name, line.variant.made.precision
    if line.emulated:
        return Cell(name, remark="on x86 without VNNI, emulated")
    return Cell(name, remark=precision if precision != name else "")


def _ratio(line: _Line) -> Cell:
    ratio = line.variant.proof.ratio
    return figure("size_ratio", {} if line.emulated else {"size_ratio": ratio})


def _times(line: _Line) -> Content:
    best = None if line.emulated else line.variant.speed
    return number(best.times, "{:.2f} \u00d7", best.place) if best else "not measured"


def _loads(line: _Line) -> Cell:
    return number(None if line.emulated else line.variant.load_ms, "{:.0f} ms")


def _memory(line: _Line) -> Cell:
    return number(None if line.emulated else line.variant.memory_mb, "{:.0f} MB")


SPEEDS: tuple[ColumnOf[_Line], ...] = (
    ("Times PyTorch", "number", _times),
    ("Loads in", "number", _loads),
    ("Peak memory", "number", _memory),
)


def facts(build: Build) -> Iterator[Fact]:
    """Yield the smallest variant."""
    if build.to_run:
        smallest = min(build.to_run, key=lambda item: item.proof.size_bytes)
        remark = f"{smallest.name}, {smallest.proof.ratio:.1%} of fp32"
        yield Fact("Smallest", size(smallest.proof.size_bytes, remark=remark))


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
    both = [
        (f"{pair.target} {name}", status(old.proof.verdict), status(new.proof.verdict))
        for pair in found.pairs
        for name, old, new in pair.variants()
        if old and new
    ]
    columns = by_place(("Variant", "name"), ("First", ""), ("Second", ""))
    verdicts = table("verdicts", "The verdict of each variant in both builds.", both, *columns)
    yield Section("verdicts", "Verdicts", (verdicts,))


CAPABILITY = Capability(20, of_one, of_two, facts, changes)
