"""What `report` does: reads bundles, writes one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from olive_build.engine.store import Store
from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError
from olive_build.report.html import comparison, insight, sections
from olive_build.report.html.bundles import BundleView, VariantView
from olive_build.report.html.damage import DamageView, read_damage, to_view
from olive_build.report.html.made_by import StepView, steps_behind
from olive_build.report.html.markup import Child, Markup, join, tag
from olive_build.report.html.numbers import data, megabytes
from olive_build.report.html.page import Section, facts, page, paragraph
from olive_build.report.html.provenance import provenance
from olive_build.report.html.subject import Subject, check_output, default_output, find_subject
from olive_build.report.html.training import trained, training, training_facts

FOOT = (
    "Written by olive-build report. The figures are those of each bundle's proof.json; "
    "`olive-build verify` runs the files again."
)
TRAINING_FOOT = (
    "Written by olive-build report. The figures are those of each bundle's proof.json; "
    "`olive-build verify` reads every byte and runs the inference model again, with --train three "
    "training steps too; `olive-build bench` times training again. Nothing else of it is repeated."
)
MOST_SUBJECTS = 2


def write_report(
    names: Sequence[str],
    *,
    outputs: Path,
    recipes: Path,
    output: Path | None,
    attributions: Sequence[Path] = (),
    measure_layers: bool = False,
) -> None:
    """Write the page of one subject, or the comparison of two, and say where it is.

    `attributions` are files of layers by damage; with `measure_layers` those of the last subject
    are measured now. Raises UsageError for what cannot be shown or written, BundleError for a
    damaged bundle.
    """
    if len(names) > MOST_SUBJECTS:
        raise UsageError(
            f"{len(names)} things cannot be compared on one page",
            why="a report shows one recipe or bundle, or compares two",
            hint="give one or two",
        )
    subjects = [find_subject(name, outputs) for name in names]
    path = output or default_output(subjects)
    check_output(path)
    damages = [read_damage(item) for item in attributions]
    if measure_layers:
        damages += _measured(subjects[-1], recipes)
    if len(subjects) == 1:
        text = report_page(subjects[0], _steps(subjects[0]), damages)
    else:
        text = comparison_page(subjects[0], subjects[1], damages)
    _write(path, text)
    click.echo(f"written: {path}")


def _steps(subject: Subject) -> tuple[StepView, ...]:
    with Store() as store:
        files = [[item.sha256 for item in bundle.manifest.files] for bundle in subject.bundles]
        return steps_behind(files, store)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode("utf-8"))
    except OSError as error:
        raise UsageError(
            "the report cannot be written",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="choose another place with --output",
        ) from error


def report_page(subject: Subject, steps: Sequence[StepView], damages: Sequence[DamageView]) -> str:
    """Return the page of one build. The same bundles and records give the same bytes."""
    bundles = subject.bundles
    first = bundles[0].manifest
    variants = [item for bundle in bundles for item in bundle.variants]
    about = first.recipe if len(bundles) > 1 else f"{first.recipe} for {first.target}"
    head = join(
        paragraph("Build report" + " of a miniature" * first.smoke, kind="kicker"),
        tag("h1", about),
        paragraph(first.description, kind="lead"),
        _facts(bundles),
    )
    found = [
        sections.overview(bundles),
        training(bundles),
        sections.tradeoffs(bundles),
        sections.speed(bundles),
        sections.gates(bundles),
        *(insight.layers(number, item) for number, item in enumerate(damages, 1)),
        *(insight.search(number, item) for number, item in enumerate(variants, 1)),
        sections.steps(steps),
        provenance(bundles),
    ]
    foot = TRAINING_FOOT if trained(bundles) else FOOT
    return page(f"{about}: build report", head, _present(found), foot)


def comparison_page(old: Subject, new: Subject, damages: Sequence[DamageView]) -> str:
    """Return the page that compares two builds; the first is what was, the second what is."""
    pairs = comparison.paired(old, new)
    if not pairs:
        raise UsageError(
            "the two builds have no target in common",
            why="the first has " + " and the second ".join(_targets(item) for item in (old, new)),
            hint="give two builds of one recipe, or two bundles",
        )
    counts = comparison.counted(pairs)
    recipe = new.bundles[0].manifest.recipe
    head = join(
        paragraph("Comparison of two builds", kind="kicker"),
        tag("h1", recipe),
        paragraph("First: ", tag("code", old.name), ". Second: ", tag("code", new.name), "."),
        facts(
            [
                ("Better", str(counts["better"]), "figures"),
                ("Worse", str(counts["worse"]), "figures"),
                ("Within the noise", str(counts["unclear"]), "speeds"),
                ("Only in one", str(counts["changed"]), "figures"),
                ("The same", str(counts["same"]), "figures"),
            ]
        ),
    )
    found = [
        comparison.figures(pairs, comparison.only_in_one(old, new)),
        comparison.both_plotted(pairs),
        comparison.gate_changes(pairs),
        *(insight.layers(number, item) for number, item in enumerate(damages, 1)),
        comparison.settings(pairs),
    ]
    return page(f"{recipe}: comparison of two builds", head, _present(found), FOOT)


def _measured(subject: Subject, recipes: Path) -> Iterator[DamageView]:
    """Yield the layers by damage of each quantized variant, measured anew."""
    from olive_build.report.attribution import SAMPLES, as_data, explain_quality
    from olive_build.report.attribution_sources import compare_bundle

    for bundle in subject.bundles:
        for item in bundle.variants:
            if item.made.quantize is not None:
                click.echo(f"measuring the layers of {bundle.target} {item.name}", err=True)
                compared = compare_bundle(bundle.folder, item.name, recipes, SAMPLES)
                yield to_view(as_data(explain_quality(compared)))


def _targets(subject: Subject) -> str:
    return ", ".join(bundle.target for bundle in subject.bundles)


def _present(found: Sequence[Section | None]) -> list[Section]:
    return [item for item in found if item is not None]


def _facts(bundles: Sequence[BundleView]) -> Markup:
    variants = [item for bundle in bundles for item in bundle.variants]
    counted = ", ".join(
        f"{count} {word}{'s' * (count > 1)}"
        for count, word in ((len(variants), "variant"), (len(bundles), "target"))
    )
    words = [item.proof.verdict for item in variants]
    missed = [f"{words.count(word)} {word}" for word in ("failed", "undecided") if word in words]
    verdict = ", ".join(missed) or "all hold"
    model = bundles[0].manifest.model
    shown: list[tuple[str, Child, Child]] = [("Budgets", verdict, counted)]
    shown += training_facts(bundles) or _inference_facts(variants)
    shown.append(("Licence", model.licence, f"{model.origin} {model.revision}"))
    return facts(shown)


def _inference_facts(variants: Sequence[VariantView]) -> list[tuple[str, Child, Child]]:
    """Return the smallest variant and the fastest one."""
    smallest = min(variants, key=lambda item: item.proof.size_bytes)
    size = data(smallest.proof.size_bytes, megabytes(smallest.proof.size_bytes))
    found: list[tuple[str, Child, Child]] = [
        ("Smallest", size, f"{smallest.name}, {smallest.proof.ratio:.1%} of fp32")
    ]
    speeds = [item.speed for item in variants if item.speed]
    if speeds:
        one = max(speeds, key=lambda item: item.times)
        found.append(("Fastest", data(one.times, f"{one.times:.1f} \u00d7 PyTorch"), one.place))
    return found
