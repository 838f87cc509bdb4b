"""The verb that writes the schema of recipes: `olive-build schema`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from olive_build.cli._options import recipes_option


@click.command()
@click.option("--check", is_flag=True, help="Only say whether the committed file is up to date.")
@recipes_option
def command(check: bool, recipes: Path) -> None:
    """Write recipes/recipe.schema.json, by which editors complete and check recipes."""
    from olive_build.report.schemas import write_schema

    sys.exit(write_schema(recipes, check=check))
