"""The verb that lists the recipes: `olive-build list`."""

from __future__ import annotations

from pathlib import Path

import click

from olive_build.cli._options import json_option, recipes_option


@click.command()
@recipes_option
@json_option
def command(recipes: Path, as_json: bool) -> None:
    """List the recipes with their descriptions."""
    from olive_build.report.listing import print_recipes

    print_recipes(recipes, as_json=as_json)
