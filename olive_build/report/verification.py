"""What `verify` shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from olive_build.bundle.purpose import Purpose, purpose_in
from olive_build.bundle.verify import Verified, verify
from olive_build.errors import OliveBuildError, printable
from olive_build.proof.figures import DIFFERENCE, find, of_quality
from olive_build.record.codec import encode
from olive_build.record.proof import Gate
from olive_build.report.blocks import table
from olive_build.report.numbers import figure_columns
from olive_build.report.render.terminal import block_lines
from olive_build.report.style import paint


@dataclass(frozen=True)
class Result:
    """What became of one bundle; `again` are the gates of the steps that were taken again."""

    folder: Path
    found: Verified | None = None
    again: tuple[Gate, ...] = ()
    error: OliveBuildError | None = None

    @property
    def purpose(self) -> Purpose:
        """What the bundle is for, as far as that can be told."""
        return purpose_in(self.found.record.manifest) if self.found else Purpose()

    @property
    def not_verified(self) -> list[str]:
        """What the bundle says and was not measured."""
        found = list(self.found.not_verified) if self.found else []
        return [*(() if self.again else self.purpose.unrepeated), *found]


def verify_bundles(folders: Sequence[Path], *, repeats: bool, as_json: bool) -> int:
    """Verify each bundle and return the worst exit code; all are looked at.

    With `repeats`, the steps that training bundles keep are repeated in the training toolchain.
    """
    results = []
    for folder in folders:
        results.append(_verified(folder, repeats=repeats))
        if not as_json:
            _print(results[-1])
    if as_json:
        click.echo(json.dumps([_json(result) for result in results], indent=2))
    return max((result.error.exit_code for result in results if result.error), default=0)


def _verified(folder: Path, *, repeats: bool) -> Result:
    try:
        found = verify(folder)
        purpose = purpose_in(found.record.manifest)
        return Result(folder, found, purpose.repeat(folder) if repeats else ())
    except OliveBuildError as failure:
        return Result(folder, error=failure)


def _print(result: Result) -> None:
    if result.found is None:
        assert result.error
        click.echo(f"{result.folder}: {paint('failed', 'red')}")
        click.echo(result.error.render(), err=True)
        return
    click.echo(f"{result.folder}: {paint('verified', 'green')}, {result.purpose.verified}")
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
    if result.again:
        near = ", ".join(
            f"{gate.figure.replace('_', ' ')} {find(gate.figure).text(gate.value)}"
            for gate in result.again
            if find(gate.figure).unit is DIFFERENCE and gate.value is not None
        )
        yield f"{result.purpose.repeated}: {near}"
    for remark in found.remarks:
        yield paint(f"looser than shipped: {printable(remark)}", "yellow")
    for item in result.not_verified:
        yield f"not verified: {printable(item)}"


def _json(result: Result) -> dict[str, object]:
    return {
        "path": str(result.folder),
        "verified": result.error is None,
        "error": result.error.as_json() if result.error else None,
        "training": result.purpose.repeated_as_json(result.again) if result.found else None,
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
