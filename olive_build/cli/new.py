"""The verb that writes a recipe for a model: `olive-build new`."""

from __future__ import annotations

from pathlib import Path

import click

from olive_build.cli._options import a_file, json_option, model_root_option, recipes_option


@click.command()
@click.argument("model")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="T",
    help="What to build for; repeatable.  [default: desktop]",
)
@click.option("--task", help="What the model is for, in place of what its class says.")
@click.option(
    "--output",
    "-o",
    type=a_file,
    help="The recipe's file.  [default: in the recipes folder, named after MODEL]",
)
@click.option("--licence", help="The model's licence, as an SPDX name.")
@click.option("--data", type=a_file, help="What the bundles are proved on, for `verify.data`.")
@click.option("--calibration", type=a_file, help="For `verify.calibration`.")
@click.option("--force", is_flag=True, help="Replace the file where there is one.")
@recipes_option
@model_root_option
@json_option
def command(
    model: str,
    targets: tuple[str, ...],
    task: str | None,
    output: Path | None,
    licence: str | None,
    data: Path | None,
    calibration: Path | None,
    force: bool,
    recipes: Path,
    model_roots: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write a recipe for a model: what it is for, what is built of it, how it is judged.

    MODEL is a folder as save_pretrained writes it, or owner/name[@revision] of the hub. Weights in
    a folder are loaded once, to see that they are whole; of the hub only what describes the model
    is fetched. The recipe is validated and planned before it is written.
    """
    from olive_build.proposing.asked import Asked
    from olive_build.proposing.propose import recipe_name
    from olive_build.report.proposed import propose_recipe

    path = output or recipes / f"{recipe_name(model)}.yaml"
    asked = Asked(model, path, targets, task, licence, data, calibration, model_roots)
    propose_recipe(asked, force=force, as_json=as_json)
