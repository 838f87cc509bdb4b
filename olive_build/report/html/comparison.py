"""Two builds side by side: each figure before and after, and whether it is better or worse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from olive_build.proof.figures import find, of_quality
from olive_build.report.differences import differences
from olive_build.report.html.bundles import BundleView, VariantView
from olive_build.report.html.changes import Change, percent
from olive_build.report.html.markup import Child, Markup, join, tag
from olive_build.report.html.numbers import data, megabytes, signed, text_of, title_of
from olive_build.report.html.page import (
    Column,
    Section,
    group,
    paragraph,
    row,
    rows,
    status,
    table,
)
from olive_build.report.html.subject import Subject
from olive_build.report.html.tradeoff import tradeoff
from olive_build.report.html.training_changes import training_changes

NONE = "\u2013"
# Seven digits are kept in the figures of quality.
SMALLEST = 5e-7
LONGEST = 120


def changes(old: VariantView, new: VariantView, *, same_machine: bool) -> Iterator[Change]:
    """Yield size, quality and speed of a variant, in both builds."""
    yield _change(
        "size",
        old.proof.size_bytes,
        new.proof.size_bytes,
        megabytes,
        percent(old.proof.size_bytes, new.proof.size_bytes),
        less_is_better=True,
    )
    for name in dict.fromkeys((*old.figures, *new.figures)):
        before, after = old.figures.get(name), new.figures.get(name)
        amount = NONE
        if before is not None and after is not None:
            amount = signed(after - before, text_of(name, abs(after - before)))
        yield _change(
            title_of(name),
            before,
            after,
            lambda value, name=name: text_of(name, value),
            amount,
            less_is_better=find(name).better == "less",
        )
    yield from _speeds(old, new, same_machine=same_machine)
    if old.training or new.training:
        yield from training_changes(old.training, new.training)


def _change(
    title: str,
    old: float | None,
    new: float | None,
    text: Any,
    amount: str,
    *,
    less_is_better: bool,
) -> Change:
    return Change(
        title,
        old,
        new,
        NONE if old is None else text(old),
        NONE if new is None else text(new),
        amount,
        judged(old, new, less_is_better=less_is_better),
    )


def judged(old: float | None, new: float | None, *, less_is_better: bool) -> str:
    """Return `better`, `worse`, `same`, or `changed` where only one build has the figure."""
    if old is None or new is None:
        return "same" if old is new else "changed"
    if abs(new - old) <= SMALLEST:
        return "same"
    return "better" if (new < old) == less_is_better else "worse"


def _speeds(old: VariantView, new: VariantView, *, same_machine: bool) -> Iterator[Change]:
    before = {item.place: item for item in old.speeds}
    after = {item.place: item for item in new.speeds}
    for place in dict.fromkeys((*before, *after)):
        one, other = before.get(place), after.get(place)
        verdict, amount = "changed", NONE
        if one and other:
            amount = percent(one.times, other.times)
            # Medians that may be equal are no verdict; and another machine tells nothing.
            apart = one.high < other.low or other.high < one.low
            verdict = "better" if other.times > one.times else "worse"
            verdict = verdict if apart and same_machine else "unclear"
            if (one.times, one.low, one.high) == (other.times, other.low, other.high):
                verdict = "same"
        yield Change(
            f"times PyTorch eager, {place}",
            one.times if one else None,
            other.times if other else None,
            f"{one.times:.2f} \u00d7" if one else NONE,
            f"{other.times:.2f} \u00d7" if other else NONE,
            amount,
            verdict,
        )


@dataclass(frozen=True)
class Pair:
    """One target's bundle in both builds."""

    target: str
    old: BundleView
    new: BundleView

    @property
    def same_machine(self) -> bool:
        """Whether both were measured on machines with one fingerprint."""
        return self.old.machine.fingerprint == self.new.machine.fingerprint

    def variants(self) -> Iterator[tuple[str, VariantView | None, VariantView | None]]:
        """Yield each variant's name with what it was and what it is."""
        old = {item.name: item for item in self.old.variants}
        new = {item.name: item for item in self.new.variants}
        for name in dict.fromkeys((*old, *new)):
            yield name, old.get(name), new.get(name)


def paired(old: Subject, new: Subject) -> list[Pair]:
    """Return the bundles of both builds by target; two bundles are a pair in any case."""
    if old.is_bundle and new.is_bundle:
        one, other = old.bundles[0], new.bundles[0]
        return [Pair(_target(one, other), one, other)]
    before = {item.target: item for item in old.bundles}
    return [
        Pair(item.target, before[item.target], item)
        for item in new.bundles
        if item.target in before
    ]


def _target(old: BundleView, new: BundleView) -> str:
    return new.target if old.target == new.target else f"{old.target}, then {new.target}"


def only_in_one(old: Subject, new: Subject) -> list[str]:
    """Return what a reader must know of targets that only one build has."""
    if old.is_bundle and new.is_bundle:
        return []
    before, after = ({item.target for item in build.bundles} for build in (old, new))
    gone = [f"{name}: only in the first build" for name in sorted(before - after)]
    return gone + [f"{name}: only in the second build" for name in sorted(after - before)]


def counted(pairs: Sequence[Pair]) -> dict[str, int]:
    """Return how many figures are better, worse, the same, within the noise, or changed."""
    counts = dict.fromkeys(("better", "worse", "unclear", "changed", "same"), 0)
    for pair in pairs:
        for _, old, new in pair.variants():
            if old and new:
                for change in changes(old, new, same_machine=pair.same_machine):
                    counts[change.verdict] += 1
    return counts


def figures(pairs: Sequence[Pair], alone: Sequence[str]) -> Section:
    """Return every figure of every variant before and after."""
    columns = [
        Column("Figure", "name"),
        Column("First", "number"),
        Column("Second", "number"),
        Column("Change", "number"),
        Column("In words"),
    ]
    bodies = []
    for pair in pairs:
        for name, old, new in pair.variants():
            title = f"{pair.target} {name}"
            if old is None or new is None:
                only = f"only in the {'second' if old is None else 'first'} build"
                bodies.append(group(join(title, " ", tag("small", only)), len(columns), ()))
                continue
            found = list(changes(old, new, same_machine=pair.same_machine))
            lines = [row(columns, _cells(change)) for change in found if change.verdict != "same"]
            alike = f" {len(found) - len(lines)} figures are the same"
            head = join(title, tag("small", alike) if len(lines) < len(found) else None)
            bodies.append(group(head, len(columns), lines))
    caption = (
        "Speeds are called better or worse only where the intervals of both medians lie apart and "
        "both were measured on the same machine."
    )
    if any(item.training for pair in pairs for item in pair.new.variants):
        caption += " The cost of training has no interval; error rates are held against theirs."
    parts = [paragraph("; ".join(alone)) if alone else None]
    parts.append(table("figures", columns, bodies, caption=caption))
    return Section("figures", "Figures", join(*parts))


def _cells(change: Change) -> list[Child]:
    return [
        change.title,
        _figure(change.old, change.old_text),
        _figure(change.new, change.new_text),
        change.change,
        status(change.verdict),
    ]


def _figure(value: float | None, text: str) -> Markup | str:
    return text if value is None else data(value, text)


def both_plotted(pairs: Sequence[Pair]) -> Section | None:
    """Return the plots of the second build, with the first one's points hollow beside them.

    What goes on learning has nothing to trade, and is not in them.
    """
    new = [item for pair in pairs for item in pair.new.variants if item.training is None]
    old = [item for pair in pairs for item in pair.old.variants if item.training is None]
    found = tradeoff(new, old) if new else None
    return None if found is None else Section("tradeoff", "Size, quality, speed", found)


def settings(pairs: Sequence[Pair]) -> Section:
    """Return what else differs: settings, tools, operators, files."""
    columns = [Column("What", "name"), Column("First", "long"), Column("Second", "long")]
    bodies = []
    for pair in pairs:
        found = [
            (name, old, new)
            for name, old, new in differences(pair.old.folder, pair.new.folder)
            if not name.endswith((*FIGURE_ENDS, *(f": {figure}" for figure in of_quality())))
        ]
        if found:
            lines = [row(columns, [name, _text(old), _text(new)]) for name, old, new in found]
            bodies.append(group(pair.target, len(columns), lines))
    if not bodies:
        return Section("settings", "Settings and files", paragraph("No other difference."))
    caption = "Settings, tools, training, operators and files that differ; a dash is: not there."
    return Section(
        "settings", "Settings and files", table("settings", columns, bodies, caption=caption)
    )


# These stand in the table of figures.
COSTS = (" milliseconds_per_step", " peak_bytes")
RATES = (" equal_error_rate all owners",)
FIGURE_ENDS = (": size_bytes", *COSTS, *RATES)


def _text(value: Any) -> str:
    if value is None:
        return NONE
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


def gate_changes(pairs: Sequence[Pair]) -> Section:
    """Return the verdicts of both builds, gate by gate where they differ."""
    columns = [Column("Variant", "name"), Column("First"), Column("Second")]
    cells = [
        [f"{pair.target} {name}", status(old.proof.verdict), status(new.proof.verdict)]
        for pair in pairs
        for name, old, new in pair.variants()
        if old and new
    ]
    caption = "The verdict of each variant in both builds."
    return Section(
        "verdicts", "Verdicts", table("verdicts", columns, [rows(columns, cells)], caption=caption)
    )
