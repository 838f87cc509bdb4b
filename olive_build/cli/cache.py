"""The verb that keeps the cache of steps: `olive-build cache`."""

from __future__ import annotations

import sys

import click

from olive_build.cli._options import json_option


@click.group()
def command() -> None:
    """Look into, check or shrink the cache of steps."""


@command.command()
@json_option
def ls(as_json: bool) -> None:
    """List what is cached, least recently used first."""
    from olive_build.report.caching import print_cache

    print_cache(as_json=as_json)


@command.command()
@json_option
def verify(as_json: bool) -> None:
    """Hash everything again; what is damaged is set aside and made anew by the next build."""
    from olive_build.report.caching import verify_cache

    sys.exit(verify_cache(as_json=as_json))


@command.command()
@click.option("--max-age-days", type=click.FloatRange(0), help="Remove what was not used since.")
@click.option("--max-size-mb", type=click.FloatRange(0), help="Remove the oldest down to this.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def gc(max_age_days: float | None, max_size_mb: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove what was not used for long; nothing that a running build uses."""
    from olive_build.report.caching import collect_garbage

    collect_garbage(max_age_days, max_size_mb, dry_run=dry_run, as_json=as_json)
