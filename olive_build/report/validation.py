"""What `validate` shows: every diagnostic of every recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from olive_build.errors import EXIT_DONE, EXIT_USAGE, OliveBuildError, UsageError
from olive_build.recipe.diagnostics import Diagnostic, RecipeErrors
from olive_build.recipe.find import find_recipe, recipe_names


def validate_recipes(
    names: Sequence[str], folder: Path, model_roots: tuple[Path, ...] = (), *, as_json: bool
) -> int:
    """Check the named recipes, or all in `folder`; return 2 when one is bad.

    Their models lie in the repository, or below one of `model_roots`.
    """
    names = names or recipe_names(folder)
    if not names:
        raise UsageError(
            "there is nothing to validate",
            where=str(folder),
            why="the folder holds no recipe",
            hint="name a recipe's file, or the folder with --recipes",
        )
    bad = 0
    rows = []
    for name in names:
        problem: OliveBuildError | None = None
        warnings: tuple[Diagnostic, ...] = ()
        try:
            warnings = _check(name, folder, model_roots)
        except OliveBuildError as error:
            problem = error
            bad += 1
        rows.append(_row(name, problem, warnings))
        if not as_json:
            _print(name, problem, warnings)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif bad and len(names) > 1:
        click.echo(f"{bad} of {len(names)} recipes are not valid", err=True)
    return EXIT_USAGE if bad else EXIT_DONE


def _check(name: str, folder: Path, model_roots: tuple[Path, ...]) -> tuple[Diagnostic, ...]:
    from olive_build.recipe.load import load_recipe

    return load_recipe(find_recipe(name, folder), model_roots=model_roots).warnings


def _print(name: str, problem: OliveBuildError | None, warnings: Sequence[Diagnostic]) -> None:
    for warning in warnings:
        click.echo(f"{warning.render()}\n", err=True)
    if problem:
        click.echo(problem.render(), err=True)
    else:
        click.echo(f"{name}: valid" + f", {len(warnings)} warnings" * bool(warnings))


def _row(
    name: str, problem: OliveBuildError | None, warnings: Sequence[Diagnostic]
) -> dict[str, object]:
    found = list(warnings)
    row: dict[str, object] = {"recipe": name, "valid": problem is None}
    if isinstance(problem, RecipeErrors):
        found = list(problem.diagnostics)
    elif problem:
        row["error"] = problem.as_json()
    row["diagnostics"] = [diagnostic.as_json() for diagnostic in found]
    return row
