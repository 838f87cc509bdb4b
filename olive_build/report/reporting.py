"""What `report` does: reads bundles, makes one page, writes it as HTML, text or JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TextIO

import click

from olive_build.engine.store import Store
from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError
from olive_build.record.files import require_files
from olive_build.record.read import MANIFEST
from olive_build.report.blocks import Cell, Fact, Facts, Page
from olive_build.report.builds import Build, find_build
from olive_build.report.comparison import Comparison
from olive_build.report.damage import DamageView, read_damage
from olive_build.report.made_by import StepView, steps_behind
from olive_build.report.sections import capabilities, changes

FOOT = (
    "Written by olive-build report. The figures are those of each bundle's proof.json; "
    "`olive-build verify` reads every byte and runs the models again."
)
MOST_BUILDS = 2
COUNTED = {
    "better": ("Better", "figures"),
    "worse": ("Worse", "figures"),
    "unclear": ("Within the noise", "speeds"),
    "changed": ("Only in one", "figures"),
    "same": ("The same", "figures"),
}


@dataclass(frozen=True)
class Asked:
    """What is reported: one recipe or bundle, or two that are compared, the older one first.

    `attributions` are files of layers by damage; with `measure_layers` those of the last one are
    measured now. `form` is html, text or json; without `output`, the last two are printed.
    """

    names: tuple[str, ...]
    outputs: Path
    recipes: Path
    output: Path | None = None
    attributions: tuple[Path, ...] = ()
    measure_layers: bool = False
    form: str = "html"


def write_report(asked: Asked) -> None:
    """Write the page of one build, or the comparison of two, and say where it is.

    Raises UsageError for what cannot be shown or written, BundleError for a damaged bundle.
    """
    if len(asked.names) > MOST_BUILDS:
        raise UsageError(
            f"{len(asked.names)} things cannot be compared on one page",
            why="a report shows one recipe or bundle, or compares two",
            hint="give one or two",
        )
    builds = [find_build(name, asked.outputs) for name in asked.names]
    for bundle in chain.from_iterable(item.bundles for item in builds):
        require_files(bundle.manifest, bundle.folder)
    path = asked.output or (default_output(builds) if asked.form == "html" else None)
    if path:
        check_output(path)
    damages = [read_damage(item) for item in asked.attributions]
    if asked.measure_layers:
        damages += _measured(builds[-1], asked.recipes)
    last = replace(builds[-1], damages=tuple(damages))
    if len(builds) == 1:
        page = report_page(replace(last, steps=_steps(last)))
    else:
        page = comparison_page(Comparison(builds[0], last))
    text = render(page, asked.form, io.StringIO() if path else sys.stdout)
    if path is None:
        click.echo(text, nl=False)
        return
    _write(path, text)
    click.echo(f"written: {path}")


def render(page: Page, form: str, stream: TextIO) -> str:
    """Return the page as html, text or json; text has the colours that the stream shows."""
    if form == "html":
        from olive_build.report.render.html import to_html

        return to_html(page)
    if form == "json":
        from olive_build.report.render.json import to_data

        return json.dumps(to_data(page), indent=2) + "\n"
    from olive_build.report.render.terminal import to_lines

    return "".join(f"{line}\n" for line in to_lines(page, stream))


def _steps(build: Build) -> tuple[StepView, ...]:
    with Store() as store:
        files = [[item.sha256 for item in bundle.manifest.files] for bundle in build.bundles]
        return steps_behind(files, store)


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode("utf-8"))
    except OSError as error:
        raise UsageError(
            "the report cannot be written",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="choose another place with --output",
        ) from error


def report_page(build: Build) -> Page:
    """Return the page of one build."""
    first = build.bundles[0].manifest
    about = first.recipe if len(build.bundles) > 1 else f"{first.recipe} for {first.target}"
    every = capabilities()
    facts = chain.from_iterable(item.facts(build) for item in every)
    return Page(
        title=f"{about}: build report",
        kicker="Build report" + " of a miniature" * first.smoke,
        heading=about,
        lead=first.description,
        facts=Facts(tuple(_facts(build, facts))),
        sections=tuple(chain.from_iterable(item.of_one(build) for item in every)),
        foot=FOOT,
    )


def _facts(build: Build, found: Iterable[Fact]) -> Iterator[Fact]:
    """Yield the verdicts, what the capabilities say, the licence."""
    targets = len(build.bundles)
    counted = ", ".join(
        f"{count} {word}{'s' * (count > 1)}"
        for count, word in ((len(build.variants), "variant"), (targets, "target"))
    )
    words = [item.proof.verdict for item in build.variants]
    missed = [f"{words.count(word)} {word}" for word in ("failed", "undecided") if word in words]
    yield Fact("Budgets", Cell(", ".join(missed) or "all hold", remark=counted))
    yield from found
    model = build.bundles[0].manifest.model
    yield Fact("Licence", Cell(model.licence, remark=model.source))


def comparison_page(found: Comparison) -> Page:
    """Return the page that compares two builds."""
    both = found.old, found.new
    if not found.pairs:
        raise UsageError(
            "the two builds have no target in common",
            why="the first has " + " and the second ".join(_targets(item) for item in both),
            hint="give two builds of one recipe, or two bundles",
        )
    recipe = found.new.bundles[0].manifest.recipe
    counts = counted(found)
    facts = [
        Fact(title, Cell(str(counts[word]), remark=of)) for word, (title, of) in COUNTED.items()
    ]
    sections = chain.from_iterable(item.of_two(found) for item in capabilities())
    return Page(
        title=f"{recipe}: comparison of two builds",
        kicker="Comparison of two builds",
        heading=recipe,
        lead=f"First: {found.old.name}. Second: {found.new.name}.",
        facts=Facts(tuple(facts)),
        sections=tuple(sections),
        foot=FOOT,
    )


def counted(found: Comparison) -> dict[str, int]:
    """Return how many figures are better, worse, the same, within the noise, or changed."""
    counts = dict.fromkeys(COUNTED, 0)
    for pair in found.pairs:
        for _, old, new in pair.variants():
            if old and new:
                for change in changes(old, new, same_machine=pair.same_machine):
                    counts[change.verdict] += 1
    return counts


def _measured(build: Build, recipes: Path) -> Iterator[DamageView]:
    """Yield the layers by damage of each quantized variant, measured anew."""
    from olive_build.report.attribution import SAMPLES, explain_quality
    from olive_build.report.attribution_sources import compare_bundle

    for bundle in build.bundles:
        for item in bundle.variants:
            if item.made.quantize is not None:
                click.echo(f"measuring the layers of {bundle.target} {item.name}", err=True)
                compared = compare_bundle(bundle.folder, item.name, recipes, SAMPLES)
                yield explain_quality(compared)


def _targets(build: Build) -> str:
    return ", ".join(bundle.target for bundle in build.bundles)


def default_output(builds: list[Build]) -> Path:
    """Return where the page is written: beside the bundles, never inside one."""
    last = builds[-1]
    folder = last.folder.parent if last.is_bundle else last.folder
    if len(builds) > 1:
        return folder / "comparison.html"
    name = f"report-{last.bundles[0].target}.html" if last.is_bundle else "report.html"
    return folder / name


def check_output(path: Path) -> None:
    """Raise UsageError for a folder that is not there, or a bundle, whose manifest lists all."""
    if not path.parent.is_dir():
        raise UsageError(
            "there is no folder for the report",
            where=str(path.parent),
            hint="make it first, or choose another place with --output",
        )
    for folder in path.absolute().parents:
        if (folder / MANIFEST).is_file():
            raise UsageError(
                "a report is not written into a bundle",
                where=str(path),
                why=f"`olive-build verify` refuses a file that {MANIFEST} does not list",
                hint="choose another place with --output",
            )
