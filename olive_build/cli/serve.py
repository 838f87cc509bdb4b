"""The verb that shows a web bundle in a browser: `olive-build serve`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one."
)
def command(bundle: Path, port: int) -> None:
    """Show a web bundle of text generation in a browser on this machine.

    BUNDLE is a folder such as outputs/neo-tiny/web. Its page runs the model with what
    `make clients` installed, and asks no other host for anything.
    """
    from olive_build.report.serving import serve_bundle

    serve_bundle(bundle, port)
