"""The verb that makes a recipe of Olive's own configuration: `olive-build import`."""

from __future__ import annotations

from pathlib import Path

import click

from olive_build.cli._options import a_file, json_option, model_root_option, recipes_option


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=a_file,
    help="The recipe's file.  [default: in the recipes folder, named after CONFIG]",
)
@click.option(
    "--model", metavar="MODEL", help="A folder or owner/name[@COMMIT], in place of CONFIG's model."
)
@click.option("--task", help="What the model is for, in place of what CONFIG says.")
@click.option("--licence", help="The model's licence, as an SPDX name.")
@click.option("--data", type=a_file, help="What the bundles are proved on, for `verify.data`.")
@click.option("--calibration", type=a_file, help="For `verify.calibration`.")
@click.option("--force", is_flag=True, help="Replace the file where there is one.")
@recipes_option
@model_root_option
@json_option
def command(
    config: Path,
    output: Path | None,
    model: str | None,
    task: str | None,
    licence: str | None,
    data: Path | None,
    calibration: Path | None,
    force: bool,
    recipes: Path,
    model_roots: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Make a recipe of a run configuration of Olive, and list what has no counterpart.

    CONFIG is the JSON or YAML file that `olive run --config` takes. Nothing of it is run, and no
    model is fetched; where it names a model of the hub without its commit, the hub is asked for it.
    """
    from olive_build.importing.asked import Asked
    from olive_build.importing.convert import recipe_name
    from olive_build.report.imported import import_configuration

    path = output or recipes / f"{recipe_name(config)}.yaml"
    asked = Asked(path, model, task, licence, data, calibration, model_roots)
    import_configuration(config, asked, force=force, as_json=as_json)
