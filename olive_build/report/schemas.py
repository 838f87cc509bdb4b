"""The JSON schema of recipes, written from the models."""

from __future__ import annotations

import json
from pathlib import Path

import click

from olive_build.engine.trees import replace_file
from olive_build.errors import EXIT_DONE, EXIT_USAGE, UsageError
from olive_build.recipe.schema import recipe_schema

SCHEMA = "recipe.schema.json"


def write_schema(folder: Path, *, check: bool) -> int:
    """Write the schema into `folder`; with `check` only return 2 when it is out of date."""
    path = folder / SCHEMA
    content = (json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n").encode()
    current = path.read_bytes() if path.is_file() else b""
    if current == content:
        click.echo(f"{path} is up to date")
        return EXIT_DONE
    if check:
        click.echo(f"{path} is out of date; run `olive-build schema`", err=True)
        return EXIT_USAGE
    try:
        replace_file(path, content)
    except OSError as error:
        raise UsageError(
            "the schema cannot be written",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="name the folder of recipes with --recipes",
        ) from error
    click.echo(f"{path} written")
    return EXIT_DONE
