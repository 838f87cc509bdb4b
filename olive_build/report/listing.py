"""What `list` shows. Reads descriptions without checking recipes: it must be quick."""

from __future__ import annotations

import json
from pathlib import Path

import click

from olive_build.errors import UsageError
from olive_build.recipe.find import describe
from olive_build.report.blocks import by_place, table
from olive_build.report.render.terminal import print_block


def print_recipes(folder: Path, *, as_json: bool) -> None:
    """Print the recipes of a folder with their descriptions."""
    if not folder.is_dir():
        raise UsageError(
            "the recipes' folder does not exist",
            where=str(folder),
            hint="name another with --recipes",
        )
    found = list(describe(folder))
    if as_json:
        rows = [{"name": name, "description": description} for name, description in found]
        click.echo(json.dumps(rows, indent=2))
    elif not found:
        click.echo(f"there are no recipes in {folder}")
    else:
        columns = by_place(("recipe", ""), ("description", ""))
        print_block(table("recipes", "", found, *columns))
