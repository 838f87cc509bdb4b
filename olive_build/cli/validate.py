"""The verb that checks recipes: `olive-build validate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from olive_build.cli._options import json_option, model_root_option, recipes_option


@click.command()
@click.argument("recipe", nargs=-1)
@recipes_option
@model_root_option
@json_option
def command(
    recipe: tuple[str, ...], recipes: Path, model_roots: tuple[Path, ...], as_json: bool
) -> None:
    """Check recipes and report everything that is wrong with each of them.

    RECIPE is a name or a path; without one, all recipes are checked.
    """
    from olive_build.report.validation import validate_recipes

    sys.exit(validate_recipes(recipe, recipes, model_roots, as_json=as_json))
