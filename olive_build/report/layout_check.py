"""What `verify --layout` shows: what the client asks for, and every finding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from olive_build.bundle.layouts.check import LayoutReport, check_layout
from olive_build.bundle.layouts.findings import Finding
from olive_build.errors import EXIT_BUNDLE, EXIT_DONE, OliveBuildError
from olive_build.report.blocks import table
from olive_build.report.render.terminal import block_lines
from olive_build.report.style import paint

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def check_layouts(folders: Sequence[Path], *, as_json: bool) -> int:
    """Check each folder and return the worst exit code: 6 where one does not work."""
    rows: list[dict[str, object]] = []
    worst = EXIT_DONE
    for folder in folders:
        try:
            report = check_layout(folder)
        except OliveBuildError as error:
            worst = max(worst, error.exit_code)
            rows.append({"path": str(folder), "ok": False, "error": error.as_json()})
            if not as_json:
                click.echo(f"{folder}: {paint('failed', 'red')}")
                click.echo(error.render(), err=True)
            continue
        worst = max(worst, EXIT_BUNDLE if report.errors else EXIT_DONE)
        rows.append({**report.as_json(), "error": None})
        if not as_json:
            click.echo(rendered(report))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    return worst


def rendered(report: LayoutReport) -> str:
    """Return the report as a person reads it."""
    verdict = paint("failed", "red") if report.errors else paint("passed", "green")
    lines = [f"{report.path}: {verdict}, {report.kind} with {report.client}"]
    if report.requests:
        shown = table(
            "requests",
            "",
            report.requests,
            ("asked for by", "", lambda it: it.device.title + " (default)" * it.default),
            ("dtype", "", lambda it: it.dtype),
            ("file", "", lambda it: it.path),
            ("there", "", lambda it: "yes" if it.path in report.present else "no"),
        )
        lines += [f"  {line}" for line in block_lines(shown)]
    lines += ["", *summary(report.findings)] if report.findings else []
    return "\n".join(lines)


def summary(findings: Sequence[Finding]) -> list[str]:
    """Return the findings, each with an empty line after it, and how many there are."""
    lines: list[str] = []
    for finding in findings:
        head, *rest = finding.render().splitlines()
        kind, _, text = head.partition(":")
        lines += [f"{paint(kind, _COLOURS[finding.severity])}:{text}", *rest, ""]
    counts = [
        f"{number} {severity}{'' if number == 1 else 's'}"
        for severity in _COLOURS
        if (number := sum(finding.severity == severity for finding in findings))
    ]
    return [*lines, ", ".join(counts)]
