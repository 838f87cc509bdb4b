"""The verb that says why a step runs, or where quality is lost: `olive-build explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_build.cli._options import a_file, json_option, selection

if TYPE_CHECKING:
    from olive_build.select import Selection


@click.command()
@selection
@click.option("--force", is_flag=True, help="As if every step were to run again.")
@click.option("--quality", is_flag=True, help="Say where a BUNDLE, or ONNX against ONNX, loses.")
@click.option("--variant", metavar="V", help="With --quality: which variant of the bundle.")
@click.option("--inputs", type=a_file, help="With --quality: .npz with samples for two files.")
@click.option("--plot", type=a_file, help="With --quality: write a picture to this .svg.")
@click.option("--samples", type=click.IntRange(1), help="With --quality: at most.  [default: 32]")
@json_option
def command(
    selected: Selection,
    force: bool,
    quality: bool,
    variant: str | None,
    inputs: Path | None,
    plot: Path | None,
    samples: int | None,
    as_json: bool,
) -> None:
    """Say for each step whether a build would run it, and why. Runs none of them.

    With --quality: where a bundle, a recipe's last build for a --target, or VARIANT.onnx against
    FP32.onnx, loses fidelity.
    """
    if quality:
        from olive_build.report.attribution import ExplainQuality, print_quality

        asked = ExplainQuality(selected, variant, inputs, samples)
        print_quality(asked, plot=plot, as_json=as_json)
        return
    if any(option is not None for option in (variant, inputs, plot, samples)):
        raise click.UsageError("--variant, --inputs, --plot and --samples belong to --quality")
    from olive_build.report.plans import print_explanation

    print_explanation(selected, force=force, as_json=as_json)
