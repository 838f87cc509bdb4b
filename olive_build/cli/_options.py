"""Options and arguments that several verbs of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

recipes_option = click.option(
    "--recipes",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("recipes"),
    show_default=True,
    help="Folder in which recipes are found by name.",
)
outputs_option = click.option(
    "--outputs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("outputs"),
    show_default=True,
    help="Folder in which bundles are published.",
)
model_root_option = click.option(
    "--model-root",
    "model_roots",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="Models may lie below this folder, outside of the repository; repeatable.",
)
a_file = click.Path(path_type=Path, dir_okay=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a pipeline.")


def selection(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments that say what is built; the command gets them as `selected`."""

    @wraps(command)
    def with_selection(
        recipe: tuple[str, ...],
        recipes: Path,
        targets: tuple[str, ...],
        overrides: tuple[str, ...],
        source: str | None,
        smoke: bool,
        model_roots: tuple[Path, ...],
        **own: object,
    ) -> None:
        from olive_build.select import Selection

        words = recipe, recipes, targets, overrides, source, smoke, model_roots
        command(Selection(*words), **own)

    for decorate in (
        click.argument("recipe", nargs=-1, required=True),
        click.option(
            "--target", "targets", multiple=True, metavar="T", help="Only this target; repeatable."
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a field of the recipe, such as verify.timing=false; repeatable.",
        ),
        click.option(
            "--source", metavar="NAME", help="Which of the recipe's model sources to use."
        ),
        click.option("--smoke", is_flag=True, help="Build a miniature of the model: seconds."),
        recipes_option,
        model_root_option,
    ):
        with_selection = decorate(with_selection)
    return with_selection
