"""The verb that shows the steps of a build: `olive-build plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olive_build.cli._options import json_option, selection

if TYPE_CHECKING:
    from olive_build.select import Selection


@click.command()
@selection
@json_option
def command(selected: Selection, as_json: bool) -> None:
    """Show the steps of a build, what each needs, and what comes out.

    Runs none of them; a model that is not on this machine is downloaded, and one that is to be
    trained is loaded once, to see whether the recipe's `train` fits it.
    """
    from olive_build.report.plans import print_plan

    print_plan(selected, as_json=as_json)
