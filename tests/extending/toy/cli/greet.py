"""A verb that is no file of the product: found by walking, like those that are."""

from __future__ import annotations

import click

from olive_build.cli._options import json_option
from olive_build.errors import PlanError


@click.command()
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
    """Greet NAME, who must have one."""
    if not name:
        raise PlanError("nobody is there to be greeted")
    click.echo(f'{{"greeted": "{name}"}}' if as_json else f"hello, {name}")
