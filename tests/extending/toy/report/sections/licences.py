"""A part of a report that is no file of the product: who may use what a bundle is made of."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.report.blocks import Chart, Fact, Section, Text, table
from olive_build.report.builds import Build, VariantView
from olive_build.report.charts import Bar, Bars, from_zero
from olive_build.report.comparison import Change, Comparison, change
from olive_build.report.numbers import number
from olive_build.report.sections import Capability


def of_one(build: Build) -> Iterator[Section]:
    """Yield the length of each licence's name, drawn and in a table."""
    names = [bundle.manifest.model.licence for bundle in build.bundles]
    lengths = table(
        "licences",
        "All.",
        names,
        ("Licence", "name", lambda name: name),
        ("Length", "number", lambda name: number(len(name), "{} letters")),
    )
    bars = tuple(Bar(name, len(name), str(len(name))) for name in names)
    axis = from_zero("letters", [bar.value for bar in bars])
    said = f"Letters: {', '.join(bar.text for bar in bars)}."
    chart = Chart("letters", Bars(axis, bars), said, "Shorter is better read.")
    blocks = (Text("Licences & their letters."), chart, lengths)
    yield Section("licences", "Licences", blocks)


def of_two(found: Comparison) -> Iterator[Section]:
    """Yield whether both builds have the same."""
    both = [build.bundles[0].manifest.model.licence for build in (found.old, found.new)]
    said = "unchanged" if both[0] == both[1] else "changed"
    yield Section("licences", "Licences", (Text(f"The licence is {said}."),))


def facts(build: Build) -> Iterator[Fact]:
    """Yield how many there are."""
    yield Fact("Licences", number(len(build.bundles), "{}"))


def changes(old: VariantView, new: VariantView, _same_machine: bool) -> Iterator[Change]:
    """Yield how long the name of a variant is, in both builds."""
    lengths = len(old.name), len(new.name)
    yield change("letters of the name", *lengths, "{:.0f}".format, "", "changed")


CAPABILITY = Capability(95, of_one, of_two, facts, changes)
