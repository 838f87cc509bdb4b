"""What `new` does and shows: the recipe that it wrote, what it assumed, what it could not know."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from textwrap import fill

import click

from olive_build.engine.store import Store
from olive_build.engine.trees import replace_file
from olive_build.errors import UsageError
from olive_build.proposing.asked import Asked
from olive_build.proposing.propose import Proposed, propose
from olive_build.report.style import COLUMNS


def propose_recipe(asked: Asked, *, force: bool, as_json: bool) -> None:
    """Write the recipe for a model, whole or not at all, and say what it rests on.

    Raises UsageError where a file is there already and `force` is not set, and as `propose` does.
    """
    path = asked.recipe
    require_place(path, force=force)
    with Store() as store:
        proposed = propose(asked, store, lambda text: click.echo(text, err=True))
        store.stamps.save()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, proposed.text.encode())
    if as_json:
        click.echo(json.dumps(_as_json(proposed, path), indent=2))
    else:
        _print(proposed, asked)


def require_place(path: Path, *, force: bool) -> None:
    """Raise UsageError where no recipe can be written, or one is there and may not be replaced."""
    if path.suffix != ".yaml":
        raise UsageError("a recipe's name ends in .yaml", where=str(path), hint="give -o FILE.yaml")
    if os.path.lexists(path) and not force:
        raise UsageError(
            "the recipe is there already",
            where=str(path),
            why="it may have been changed by hand",
            hint="name another file with -o, or replace it with --force",
        )


def _as_json(proposed: Proposed, path: Path) -> dict[str, object]:
    choice = proposed.choice
    return {
        "recipe": str(path),
        "architecture": choice.architecture,
        "task": choice.task,
        "family": choice.family.name,
        "assumed": proposed.assumed,
        "unknown": proposed.unknown,
        "planned": proposed.plan is not None,
        "warnings": [item.as_json() for item in proposed.recipe.warnings],
    }


def _print(proposed: Proposed, asked: Asked) -> None:
    click.echo(f"written: {asked.recipe}")
    for title, lines in (("assumed", proposed.assumed), ("not known", proposed.unknown)):
        if lines:
            click.echo(f"\n{title}:")
        for line in lines:
            click.echo(fill(line, COLUMNS, initial_indent="  ", subsequent_indent="    "))
    for warning in proposed.recipe.warnings:
        click.echo(f"\n{warning.render()}", err=True)
    roots = (word for root in asked.model_roots for word in ("--model-root", str(root)))
    words = shlex.join([str(asked.recipe), *roots])
    click.echo("\nnext, the same steps over a miniature, and then the build:")
    click.echo(f"  olive-build build {words} --smoke\n  olive-build build {words}")
