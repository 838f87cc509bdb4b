"""Serves folders to a browser on this machine.

Listens on localhost alone. Every answer has the headers of isolation, without which a page has no
threads; files have their types, sizes, ranges and digests of change (ETag), and nothing outside the
folders is reached.
"""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from olive_build.untrusted import followed

HOST = "127.0.0.1"
# Names by which a browser on this machine may call it. Another name in the Host header is that of a
# site whose name was made to point here, to read what is served.
NAMES = ("127.0.0.1", "localhost", "[::1]")
PIECE = 1 << 20
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # A model that was built again has the same address: ask each time, and be told 304 if it is the
    # same still.
    "Cache-Control": "no-cache",
    "Accept-Ranges": "bytes",
}
PORT = re.compile(r":\d+$")
# No file has a size of more digits; int() refuses thousands of them.
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class WebServer(ThreadingHTTPServer):
    """Serves `mounts`, paths that begin with / to files or folders; the longest that fits counts.

    `home` is where / leads, `policy` the Content-Security-Policy of every answer, if there is one.
    `sent` counts the bytes of files that were sent, by their path. Raises OSError when the port is
    taken; port 0 takes a free one.
    """

    daemon_threads = True
    # On Linux this permits a port whose last connections linger; it does not share one in use.
    allow_reuse_address = True

    def __init__(
        self, mounts: Mapping[str, Path], *, port: int = 0, home: str = "/", policy: str = ""
    ) -> None:
        super().__init__((HOST, port), Handler)
        self.policy = policy
        self.mounts = {prefix: path.resolve() for prefix, path in mounts.items()}
        self.home = home
        self.sent: Counter[str] = Counter()
        self._counting = threading.Lock()

    def server_bind(self) -> None:
        """Bind as HTTPServer does, but ask no name server for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def url(self) -> str:
        """The address of /, without a slash at its end."""
        return f"http://{HOST}:{self.server_address[1]}"

    def count(self, path: str, size: int) -> None:
        """Add to the bytes that were sent of a path."""
        with self._counting:
            self.sent[path] += size

    def file_of(self, path: str) -> Path | None:
        """Return the file behind a decoded path, or None."""
        for prefix in sorted(self.mounts, key=len, reverse=True):
            root = self.mounts[prefix]
            rest = path.removeprefix(prefix)
            if not path.startswith(prefix) or (rest and not prefix.endswith("/")):
                continue
            return _inside(root, rest)
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser that leaves in the middle of a file is no error of ours."""


def _inside(root: Path, rest: str) -> Path | None:
    if "\\" in rest or "\0" in rest or any(part.startswith(".") for part in rest.split("/")):
        return None  # what is hidden is nobody's, and .. leads out
    if rest.endswith("/") or (not rest and root.is_dir()):
        rest += "index.html"
    try:
        # A link in the folder may lead out of it.
        path = followed(root / rest.lstrip("/")) if rest else root
        return path if path.is_relative_to(root) and path.is_file() else None
    except OSError:  # such as for a name that is too long
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def version_string(self) -> str:
        """Return the name of the server, without versions."""
        return "olive-build"

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.server.policy:
            self.send_header("Content-Security-Policy", self.server.policy)
        super().end_headers()

    def _answer(self, *, body: bool) -> None:
        if PORT.sub("", self.headers.get("Host") or "") not in NAMES:
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Only localhost is served")
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if path == "/" and self.server.home != "/":
            return self._redirect(self.server.home)
        file = self.server.file_of(path)
        if file is None:
            if not path.endswith("/") and self.server.file_of(f"{path}/"):
                # Without the slash, what the page asks for would be sought beside its folder.
                return self._redirect(f"{path}/")
            return self.send_error(HTTPStatus.NOT_FOUND)
        return self._send(file, path, body=body)

    def _redirect(self, path: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        # Never //host: a path that begins so would lead to another host.
        self.send_header("Location", "/" + urllib.parse.quote(path).lstrip("/"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: Path, path: str, *, body: bool) -> None:
        try:
            status = file.stat()
        except OSError:  # it was there a moment ago
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        if etag in (self.headers.get("If-None-Match") or ""):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", etag)
            self.end_headers()
            return
        part = self._range(status.st_size)
        if part is None:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{status.st_size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = part == range(status.st_size)
        self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
        if not whole:
            held = f"bytes {part.start}-{part.stop - 1}/{status.st_size}"
            self.send_header("Content-Range", held)
        self.send_header("Content-Type", TYPES.get(file.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", etag)
        self.end_headers()
        if body:
            self._pour(file, path, part)

    def _range(self, size: int) -> range | None:
        """Return the bytes that are asked for, all without a Range; None where there are none."""
        match = RANGE.fullmatch(self.headers.get("Range") or "")
        if not match or match.group(0) == "bytes=-":
            return range(size)  # a form that we do not know, such as several ranges, may be ignored
        first, last = match.groups()
        if not first:
            part = range(max(size - int(last), 0), size)
        else:
            part = range(int(first), min(int(last) + 1, size) if last else size)
        return part or None

    def _pour(self, file: Path, path: str, part: range) -> None:
        left = len(part)
        try:
            with file.open("rb") as source:
                source.seek(part.start)
                while left and (piece := source.read(min(PIECE, left))):
                    self.server.count(path, len(piece))
                    self.wfile.write(piece)
                    left -= len(piece)
        except OSError:  # the file is gone, or the browser
            pass
        if left:
            self.close_connection = True  # or the browser would wait for the rest


@contextmanager
def serving(mounts: Mapping[str, Path]) -> Iterator[WebServer]:
    """Serve in a thread of its own, on a free port, as long as the context lasts."""
    with WebServer(mounts) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
