"""The verb that trains: `olive-build train`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click

from olive_build.cli._options import json_option
from olive_build.errors import OliveBuildError

a_path = click.Path(path_type=Path)


class Number(click.FloatRange):
    """A number in a range; NaN, which no comparison excludes, is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


@click.command()
@click.argument("bundle", type=a_path)
@click.option(
    "--data", type=a_path, required=True, help="Folder with a folder a class, or a labels.csv."
)
@click.option("--output", type=a_path, help="Where it goes.  [default: <recipe>-trained, here]")
@click.option(
    "--epochs", type=click.IntRange(1), help="Times through the data.  [default: recipe's]"
)
@click.option("--batch-size", type=click.IntRange(1), help="Examples a step.  [default: recipe's]")
@click.option("--learning-rate", type=Number(0, 1e3, min_open=True), help="[default: recipe's]")
@click.option("--seed", type=click.IntRange(0), help="Of shuffling and holding out.")
@click.option(
    "--hold-out",
    type=Number(0, 1, max_open=True),
    help="Share of each class kept for judging.  [default: 0.2]",
)
@click.option("--resume", type=a_path, help="Go on from this checkpoint of an earlier training.")
@json_option
def command(
    bundle: Path,
    data: Path,
    output: Path | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int | None,
    hold_out: float | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Train a training bundle on your data, as a device would, to try it before there is an app.

    BUNDLE is a folder with a manifest.json, such as outputs/my-voice/android, of a recipe that has
    a section `train`. The output holds the checkpoint, the trained model, and a plot of the loss.
    """
    from olive_build.training.verb.run import Asked, run_training
    from olive_build.training.verb.written import Typed

    typed = Typed(epochs, batch_size, learning_rate, seed, hold_out)

    try:
        code = run_training(bundle, Asked(data, output, resume, typed), as_json=as_json)
    except OliveBuildError as error:
        if not as_json:
            raise
        import json

        # An event a line: the error is the last.
        click.echo(json.dumps({"error": error.as_json()}))
        click.echo(error.render(), err=True)
        code = error.exit_code
    sys.exit(code)
