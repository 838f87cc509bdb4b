"""What `import` does and shows: the recipe that it wrote, and what has no counterpart in it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from olive_build.engine.trees import replace_file
from olive_build.importing.asked import Asked
from olive_build.importing.convert import Imported, convert
from olive_build.recipe.draft import shown
from olive_build.report.proposed import require_place


def import_configuration(configured: Path, asked: Asked, *, force: bool, as_json: bool) -> None:
    """Write the recipe for a configuration, whole or not at all, and list what it leaves out.

    Raises UsageError where a file is there already and `force` is not set, and as `convert` does.
    """
    path = asked.recipe
    require_place(path, force=force)
    imported = convert(configured, asked)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, imported.text.encode())
    if as_json:
        rows = [{"path": shown(item.where), "why": item.why} for item in imported.left]
        warnings = [item.as_json() for item in imported.recipe.warnings]
        found = {"recipe": str(path), "left_out": rows, "warnings": warnings}
        click.echo(json.dumps(found, indent=2))
    else:
        _print(imported, path)


def _print(imported: Imported, path: Path) -> None:
    click.echo(f"written: {path}")
    if imported.left:
        click.echo("\nwithout counterpart in it:")
    for item in imported.left:
        click.echo(f"  {shown(item.where)}: {item.why}")
    for warning in imported.recipe.warnings:
        click.echo(f"\n{warning.render()}", err=True)
    click.echo(f"\nnext: olive-build plan {path}")
