"""The verb that writes a page about a build: `olive-build report`."""

from __future__ import annotations

from pathlib import Path

import click

from olive_build.cli._options import a_file, outputs_option, recipes_option


@click.command()
@click.argument("subject", nargs=-1, required=True)
@click.option("--output", type=a_file, help="Where the page goes.  [default: beside the bundles]")
@click.option(
    "--attribution",
    "attributions",
    type=a_file,
    multiple=True,
    help="Show the layers by damage in this JSON of `explain --quality --json`; repeatable.",
)
@click.option(
    "--layers", "measure_layers", is_flag=True, help="Measure the layers by damage now: minutes."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "text", "json"]),
    default="html",
    show_default=True,
    help="Text and JSON are printed unless --output says where they go.",
)
@recipes_option
@outputs_option
def command(
    subject: tuple[str, ...],
    output: Path | None,
    attributions: tuple[Path, ...],
    measure_layers: bool,
    form: str,
    recipes: Path,
    outputs: Path,
) -> None:
    """Write one page about a build, or one that compares two.

    SUBJECT is a recipe that was built, or a bundle's folder; with a second one, what became
    better and worse from the first to it. The HTML page needs no network and no script.
    """
    from olive_build.report.reporting import Asked, write_report

    write_report(Asked(subject, outputs, recipes, output, attributions, measure_layers, form))
