"""A verb that waits, and clears up when it is told to end; `--how` says what else it does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

HOW = ("plain", "eof", "names", "hang", "fails", "text")


@click.command("wait")
@click.option("--how", type=click.Choice(HOW), default="plain")
@click.argument("done", type=click.Path(path_type=Path))
def command(how: str, done: Path) -> None:
    """Wait for a signal, then write DONE."""
    if how == "eof":
        raise EOFError("the file ends here")
    if how == "names":
        click.echo(sys.stdin.read())
        click.echo(sys.stdin.buffer and "told", err=True)
        raise ValueError("a\x1b[2Jb\u202ec")
    try:
        click.echo("ready")
        if how == "text":
            exec("time.sleep(60)")  # noqa: S102 - as dataclasses compile their methods
        time.sleep(60)
    finally:
        time.sleep(60 if how == "hang" else 0.6)
        done.write_text("cleared", encoding="utf-8")
        if how == "fails":
            raise OSError("what it cleared is not there")
