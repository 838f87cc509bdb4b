"""The verb that compares two bundles: `olive-build diff`."""

from __future__ import annotations

from pathlib import Path

import click

from olive_build.cli._options import json_option


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
def command(old: Path, new: Path, as_json: bool) -> None:
    """Compare two bundles: settings, tools, files, figures. Exit code 0 either way."""
    from olive_build.report.differences import print_differences

    print_differences(old, new, as_json=as_json)
