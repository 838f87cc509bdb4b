"""What `verify` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from olive_build.bundle.manifest import read_manifest
from olive_build.bundle.training_manifest import is_training
from olive_build.bundle.verify import VerifiedFile, verify
from olive_build.errors import OliveBuildError
from olive_build.proof.verdict import QUALITY
from olive_build.report.style import paint, table

TRAINING = "every byte; the inference model was run again"
RECORDED = (
    "nothing was trained: the figures of training are those that proof.json records of the build"
)


def verify_bundles(folders: Sequence[Path], *, as_json: bool) -> int:
    """Verify each bundle and return the worst exit code; all are looked at."""
    results = []
    worst = 0
    for folder in folders:
        try:
            files = verify(folder)
            error = None
        except OliveBuildError as failure:
            files, error = (), failure
            worst = max(worst, failure.exit_code)
        results.append((folder, files, error))
        if not as_json:
            _print(folder, files, error)
    if as_json:
        click.echo(json.dumps([_json(*result) for result in results], indent=2))
    return worst


def _print(folder: Path, files: tuple[VerifiedFile, ...], error: OliveBuildError | None) -> None:
    if error:
        click.echo(f"{folder}: {paint('failed', 'red')}")
        click.echo(error.render(), err=True)
        return
    training = is_training(read_manifest(folder))
    what = TRAINING if training else "every byte and every figure"
    click.echo(f"{folder}: {paint('verified', 'green')}, {what}")
    # A bundle's files are of one family, so all have the same figures.
    names = [name for name in QUALITY if files and name in files[0].figures]
    rows = [["file", *(name.removeprefix("cosine_").replace("_", " ") for name in names)]]
    rows += [[item.path, *(_figure(name, item.figures[name]) for name in names)] for item in files]
    for line in table(rows, right=range(1, len(names) + 1)):
        click.echo(f"  {line}")
    if training:
        click.echo(f"  {RECORDED}")


def _figure(name: str, value: float) -> str:
    # Of a difference the power of ten counts; five digits of it would be zeros.
    return f"{value:.1e}" if name.endswith("_difference") else f"{value:.5f}"


def _json(
    folder: Path, files: tuple[VerifiedFile, ...], error: OliveBuildError | None
) -> dict[str, object]:
    return {
        "path": str(folder),
        "verified": error is None,
        "error": error.as_json() if error else None,
        "training": _of_training(folder, error),
        "files": [
            {
                "variant": item.variant,
                "path": item.path,
                "figures": item.figures,
                "gates": [gate.as_json() for gate in item.gates],
            }
            for item in files
        ],
    }


def _of_training(folder: Path, error: OliveBuildError | None) -> str | None:
    """Return what became of the figures of training; None where the bundle has none."""
    if error or not is_training(read_manifest(folder)):
        return None
    return "recorded, not run again"
