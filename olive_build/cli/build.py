"""The verb that builds, proves and publishes: `olive-build build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_build.cli._options import a_file, json_option, outputs_option, selection
from olive_build.plan import STAGES

if TYPE_CHECKING:
    from olive_build.select import Selection


@click.command()
@selection
@outputs_option
@click.option(
    "--jobs", type=click.IntRange(1), help="Steps at once.  [default: 2, or 1 on one CPU]"
)
@click.option("--force", is_flag=True, help="Run every step again, recorded or not.")
@click.option("--keep-going", is_flag=True, help="When a recipe or target fails, go on.")
@click.option("--strict", is_flag=True, help="Refuse a bundle with a verdict that noise left open.")
@click.option(
    "--write-recipe", type=a_file, help="Write the recipe with what its searches chose to FILE."
)
@click.option(
    "--until",
    type=click.Choice(STAGES),
    default=STAGES[-1],
    show_default=True,
    help="Stop after this stage; before bundle nothing is published.",
)
@json_option
def command(
    selected: Selection,
    outputs: Path,
    jobs: int | None,
    force: bool,
    keep_going: bool,
    strict: bool,
    write_recipe: Path | None,
    until: str,
    as_json: bool,
) -> None:
    """Build, prove and publish the bundles of recipes.

    RECIPE is a name in the recipes folder or the path of a file. What was built before and has
    not changed is not built again; a build that was stopped goes on where it was.
    """
    from olive_build.build import Options
    from olive_build.report.building import run_build

    options = Options(
        outputs=outputs,
        jobs=jobs,
        force=force,
        keep_going=keep_going,
        until=until,
        smoke=selected.smoke,
        strict=strict,
    )
    sys.exit(run_build(selected, options, write_recipe=write_recipe, as_json=as_json))
