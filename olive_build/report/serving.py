"""The page of a web bundle, served to this machine only."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from olive_build.bundle.layout import DEMO
from olive_build.clients.client_packages import PLAIN_RUNTIME, runtime_files
from olive_build.clients.web_server import WebServer
from olive_build.errors import BundleError, UsageError
from olive_build.record.read import read_manifest
from olive_build.report.style import paint

HOME = f"/bundle/{DEMO}/"
# A page of the bundle runs its own code, the runtime and WebAssembly, and asks this server alone:
# what it is given to read leaves for nowhere. onnxruntime-web starts its threads from blobs.
POLICY = "; ".join(
    (
        *("default-src 'none'", "connect-src 'self' blob: data:", "img-src 'self' data:"),
        "script-src 'self' 'wasm-unsafe-eval' blob:",
        *("worker-src 'self' blob:", "style-src 'self'", "base-uri 'none'"),
        *("form-action 'none'", "frame-ancestors 'none'"),
    )
)


def serve_bundle(folder: Path, port: int) -> None:
    """Serve the bundle and its page until the process is interrupted.

    Raises BundleError when the folder is no bundle or has no page, UsageError when the port is
    taken or the client packages are missing.
    """
    manifest = read_manifest(folder)
    if not (folder / DEMO / "index.html").is_file():
        raise BundleError(
            "the bundle has no page to show",
            where=str(folder),
            why=f"its folder {DEMO}/ is missing; web bundles of text generation have one",
            hint="name the web target's folder, such as outputs/neo-tiny/web, or build it again",
        )
    mounts = {"/bundle/": folder}
    runtime = runtime_files(PLAIN_RUNTIME)
    mounts |= {f"{HOME}runtime/{name}": path for name, path in runtime.items()}
    with _listen(mounts, port) as server:
        try:
            click.echo(f"{manifest.recipe} is at {paint(server.url + HOME, 'bold')}")
            click.echo("Ctrl-C stops it.")
            server.serve_forever()
        except KeyboardInterrupt:
            # That is how it ends; it has nothing to finish, and asked twice it ends no other way.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            click.echo("stopped")


def _listen(mounts: dict[str, Path], port: int) -> WebServer:
    try:
        return WebServer(mounts, port=port, home=HOME, policy=POLICY)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be served",
            why=error.strerror or str(error),
            hint="stop what uses it, or name another with --port; --port 0 takes a free one",
        ) from error
