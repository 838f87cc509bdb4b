"""The verb that times bundles: `olive-build bench`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from olive_build.cli._options import json_option, model_root_option, outputs_option, recipes_option


@click.command()
@click.argument("bundle", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--against",
    multiple=True,
    metavar="WHAT",
    help="pytorch, fp32, a path to an .onnx file, or a peer of `make bench-peers`; repeatable.",
)
@click.option("--lengths", metavar="N,N", help="Sizes of the input.  [default: the family's]")
@click.option("--batches", metavar="N,N", help="Inputs at once.  [default: 1]")
@click.option("--threads", metavar="N,N", help="Threads of the runtime.  [default: 1]")
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    help="How long each candidate runs at each size.  [default: 1.0]",
)
@recipes_option
@model_root_option
@outputs_option
@json_option
def command(
    bundle: tuple[Path, ...],
    against: tuple[str, ...],
    lengths: str | None,
    batches: str | None,
    threads: str | None,
    seconds: float | None,
    recipes: Path,
    model_roots: tuple[Path, ...],
    outputs: Path,
    as_json: bool,
) -> None:
    """Time bundles: latency, throughput, load time, memory, each in a process of its own, in turn.

    BUNDLE is a folder with a manifest.json. Ratios are against the first of --against.
    """
    from olive_build.report.benching import Bench, numbers, run_bench

    asked = Bench(
        against=against,
        lengths=numbers(lengths, "--lengths"),
        batches=numbers(batches, "--batches"),
        threads=numbers(threads, "--threads"),
        seconds=seconds,
        recipes=recipes,
        outputs=outputs,
        model_roots=model_roots,
    )
    sys.exit(run_bench(bundle, asked, as_json=as_json))
