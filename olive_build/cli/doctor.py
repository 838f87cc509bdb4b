"""The verb that checks this machine: `olive-build doctor`."""

from __future__ import annotations

import sys

import click

from olive_build.cli._options import json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Check this machine: Python, packages and their versions, cache, disk, memory."""
    from olive_build.report.doctor import run_doctor

    sys.exit(run_doctor(as_json=as_json))
