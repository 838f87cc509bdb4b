"""What `verify` shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from olive_build.bundle.verify import Verified, verify
from olive_build.errors import OliveBuildError, ProofError, UsageError, printable
from olive_build.proof.figures import DIFFERENCE, find, of_quality
from olive_build.record.codec import encode
from olive_build.record.proof import Gate
from olive_build.report.blocks import table
from olive_build.report.numbers import figure_columns
from olive_build.report.render.terminal import block_lines
from olive_build.report.style import paint
from olive_build.report.training_process import asked
from olive_build.training.verdict import repeated_gates

TRAINING_CHILD = "olive_build.training.verify_child"
INFERENCE = "every byte, and the quality of each model by running it again"
TRAINING = (
    "every byte, the inference model by running it again, the checkpoint's values and the "
    "optimizer's settings"
)
TRAINED = "three of PyTorch's steps were taken again in the training runtime"
UNTRAINED = (
    "that the files train as PyTorch does, which proof.json records of the build; `verify --train` "
    "repeats three steps"
)


@dataclass(frozen=True)
class Result:
    """What became of one bundle; `trained` are the gates of the steps that were taken again."""

    folder: Path
    found: Verified | None = None
    trained: tuple[Gate, ...] = ()
    error: OliveBuildError | None = None

    @property
    def training(self) -> bool:
        """Whether it is a bundle for training; False where that cannot be told."""
        return self.found is not None and self.found.record.manifest.training is not None

    @property
    def not_verified(self) -> list[str]:
        """What the bundle says and was not measured."""
        found = list(self.found.not_verified) if self.found else []
        return [UNTRAINED, *found] if self.training and not self.trained else found


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


def _verified(folder: Path, *, train: bool) -> Result:
    try:
        found = verify(folder)
        if not train:
            return Result(folder, found)
        if found.record.manifest.training is None:
            raise UsageError(
                "--train is for training bundles",
                where=str(folder),
                why="this one holds models for inference alone",
                hint="verify it without --train",
            )
        return Result(folder, found, train_again(folder))
    except OliveBuildError as failure:
        return Result(folder, error=failure)


def train_again(folder: Path) -> tuple[Gate, ...]:
    """Repeat the stored steps of a bundle that was looked at, and judge them as a build does.

    Takes the training toolchain, and makes it where there is none. Raises ProofError where a step
    does not do what PyTorch's did, or does not run.
    """
    found, why = asked(TRAINING_CHILD, str(folder.absolute()))
    if found is None:
        raise _refused(folder, f"the training runtime does not run its files: {why}")
    if "error" in found:
        raise _refused(folder, f"{found['error']['what']}: {found['error']['why']}")
    gates = tuple(repeated_gates(found))
    failed = [gate.text() for gate in gates if gate.status == "failed"]
    if failed:
        raise _refused(folder, "\n".join(failed))
    return gates


def _refused(folder: Path, why: str) -> ProofError:
    return ProofError(
        "the bundle does not train as PyTorch did",
        where=str(folder),
        why=why,
        hint="do not ship it; build it again, and find out who changed the file",
    )


def _print(result: Result) -> None:
    if result.found is None:
        assert result.error
        click.echo(f"{result.folder}: {paint('failed', 'red')}")
        click.echo(result.error.render(), err=True)
        return
    what = TRAINING if result.training else INFERENCE
    click.echo(f"{result.folder}: {paint('verified', 'green')}, {what}")
    files = result.found.files
    # A bundle's files are of one family, so all have the same figures.
    names = [name for name in of_quality() if files and name in files[0].figures]
    shown = table("files", "", files, ("file", "", lambda it: it.path), *figure_columns(names))
    for line in block_lines(shown):
        click.echo(f"  {line}")
    for line in _last_lines(result, result.found):
        click.echo(f"  {line}")


def _last_lines(result: Result, found: Verified) -> Iterator[str]:
    """Yield what was done beside the models, what to know, and what was not measured."""
    if result.trained:
        near = ", ".join(
            f"{gate.figure.replace('_', ' ')} {find(gate.figure).text(gate.value)}"
            for gate in result.trained
            if find(gate.figure).unit is DIFFERENCE and gate.value is not None
        )
        yield f"{TRAINED}: {near}"
    for remark in found.remarks:
        yield paint(f"looser than shipped: {printable(remark)}", "yellow")
    for item in result.not_verified:
        yield f"not verified: {printable(item)}"


def _json(result: Result) -> dict[str, object]:
    return {
        "path": str(result.folder),
        "verified": result.error is None,
        "error": result.error.as_json() if result.error else None,
        "training": _of_training(result),
        "files": [
            {
                "variant": item.variant,
                "path": item.path,
                "figures": encode(item.quality),
                "gates": encode(item.gates),
            }
            for item in (result.found.files if result.found else ())
        ],
        "remarks": list(result.found.remarks) if result.found else [],
        "not_verified": result.not_verified,
    }


def _of_training(result: Result) -> dict[str, object] | None:
    """Return what became of training; None where the bundle has none, or failed."""
    if not result.training:
        return None
    return {
        "steps": "repeated" if result.trained else "recorded, not run again",
        "gates": encode(result.trained),
    }
