"""The verb that checks what was published: `olive-build verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from olive_build.cli._options import json_option


@click.command()
@click.argument("bundle", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["transformers.js"]),
    help="Check any folder, a bundle or not, against what this client asks for; nothing is run.",
)
@click.option(
    "--train",
    is_flag=True,
    help="Also repeat three of PyTorch's steps with the files of a training bundle.",
)
@json_option
def command(bundle: tuple[Path, ...], layout: str | None, train: bool, as_json: bool) -> None:
    """Check published bundles: every byte, and the quality of each model by running it again.

    BUNDLE is a folder with a manifest.json, such as outputs/all-minilm-l6-v2/desktop. Of a training
    bundle the checkpoint and the optimizer are read; --train repeats steps in the training
    toolchain. With --layout it is any folder with a config.json and models in onnx/.
    """
    if layout and train:
        raise click.UsageError("--train is not for --layout, which runs nothing")
    if layout:
        from olive_build.report.layout_check import check_layouts

        sys.exit(check_layouts(bundle, as_json=as_json))
    from olive_build.report.verification import verify_bundles

    sys.exit(verify_bundles(bundle, repeats=train, as_json=as_json))
