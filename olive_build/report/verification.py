"""What `verify` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from olive_build.bundle.verify import VerifiedFile, verify
from olive_build.errors import OliveBuildError, UsageError
from olive_build.proof.figures import find, of_quality
from olive_build.record.codec import encode
from olive_build.record.proof import Gate
from olive_build.record.read import read_manifest
from olive_build.report.style import paint, table
from olive_build.report.training_verification import train_again

INFERENCE = "every byte, and the quality of each model by running it again"
RECORDED = "not measured again: speed, memory and what a build compares with other files"
TRAINING = (
    "every byte, the inference model by running it again, the checkpoint's values and the "
    "optimizer's settings"
)
TRAINED = "three of PyTorch's steps were taken again in the training runtime"
UNTRAINED = (
    "no step was trained again: that the files train as PyTorch does is what proof.json records of "
    "the build; `verify --train` repeats three steps"
)
NOT_AGAIN = "not measured again: twenty steps in a row, resuming, cost, and error rates of owners"


@dataclass(frozen=True)
class Verified:
    """What became of one bundle; `trained` are the gates of the steps that were taken again."""

    folder: Path
    files: tuple[VerifiedFile, ...] = ()
    trained: tuple[Gate, ...] = ()
    error: OliveBuildError | None = None

    @property
    def training(self) -> bool:
        """Whether it is a bundle for training; False where that cannot be told."""
        return self.error is None and read_manifest(self.folder).training is not None


def verify_bundles(folders: Sequence[Path], *, train: bool, as_json: bool) -> int:
    """Verify each bundle and return the worst exit code; all are looked at.

    With `train`, the steps that training bundles keep are repeated in the training toolchain.
    """
    results = []
    for folder in folders:
        results.append(_verified(folder, train=train))
        if not as_json:
            _print(results[-1])
    if as_json:
        click.echo(json.dumps([_json(result) for result in results], indent=2))
    return max((result.error.exit_code for result in results if result.error), default=0)


def _verified(folder: Path, *, train: bool) -> Verified:
    try:
        files = verify(folder)
        if not train:
            return Verified(folder, files)
        if read_manifest(folder).training is None:
            raise UsageError(
                "--train is for training bundles",
                where=str(folder),
                why="this one holds models for inference alone",
                hint="verify it without --train",
            )
        return Verified(folder, files, train_again(folder))
    except OliveBuildError as failure:
        return Verified(folder, error=failure)


def _print(result: Verified) -> None:
    if result.error:
        click.echo(f"{result.folder}: {paint('failed', 'red')}")
        click.echo(result.error.render(), err=True)
        return
    what = TRAINING if result.training else INFERENCE
    click.echo(f"{result.folder}: {paint('verified', 'green')}, {what}")
    files = result.files
    # A bundle's files are of one family, so all have the same figures.
    names = [name for name in of_quality() if files and name in files[0].figures]
    rows = [["file", *(find(name).title for name in names)]]
    rows += [[item.path, *(find(n).text(item.figures[n]) for n in names)] for item in files]
    for line in table(rows, right=range(1, len(names) + 1)):
        click.echo(f"  {line}")
    for line in _last_lines(result):
        click.echo(f"  {line}")


def _last_lines(result: Verified) -> list[str]:
    """Return what was done beside the models, and what was not."""
    if not result.training:
        return [RECORDED]
    if not result.trained:
        return [UNTRAINED]
    near = ", ".join(
        f"{gate.figure.replace('_', ' ')} {gate.value:.0e}"
        for gate in result.trained
        if gate.figure.endswith("_difference") and gate.limit
    )
    return [f"{TRAINED}: {near}", NOT_AGAIN]


def _json(result: Verified) -> dict[str, object]:
    return {
        "path": str(result.folder),
        "verified": result.error is None,
        "error": result.error.as_json() if result.error else None,
        "training": _of_training(result),
        "files": [
            {
                "variant": item.variant,
                "path": item.path,
                "figures": item.figures,
                "gates": encode(item.gates),
            }
            for item in result.files
        ],
    }


def _of_training(result: Verified) -> dict[str, object] | None:
    """Return what became of training; None where the bundle has none, or failed."""
    if not result.training:
        return None
    return {
        "steps": "repeated" if result.trained else "recorded, not run again",
        "gates": encode(result.trained),
    }
