"""What the server sends to a browser, and what it keeps to itself."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from olive_build.clients.web_server import PIECE, WebServer, serving

LARGE = bytes(range(256)) * (PIECE // 128)
WEIGHTS = bytes(range(200)) * 5


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A bundle with a page, beside it a secret, and a file that lies elsewhere."""
    folder = tmp_path_factory.mktemp("served")
    bundle, elsewhere = folder / "bundle", folder / "elsewhere"
    (bundle / "demo").mkdir(parents=True)
    (bundle / "with space").mkdir()
    elsewhere.mkdir()
    (bundle / "demo" / "index.html").write_text("<title>page</title>", encoding="utf-8")
    (bundle / "config.json").write_text("{}", encoding="utf-8")
    (bundle / "empty.txt").touch()
    (bundle / "model.onnx").write_bytes(WEIGHTS)
    (bundle / "large.onnx").write_bytes(LARGE)
    (bundle / "with space" / "ü.txt").write_text("ü", encoding="utf-8")
    (elsewhere / "run.wasm").write_bytes(b"\0asm")
    (folder / "secret.txt").write_text("secret", encoding="utf-8")
    for hidden in (bundle / ".env", bundle / ".git" / "config", bundle / "demo" / ".secret"):
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_text("secret", encoding="utf-8")
    (bundle / "link.txt").symlink_to(folder / "secret.txt")
    (bundle / "up").symlink_to(folder)
    (bundle / "inside.json").symlink_to(bundle / "config.json")
    mounts = {"/bundle/": bundle, "/bundle/demo/runtime/run.wasm": elsewhere / "run.wasm"}
    with serving(mounts) as running:
        running.home = "/bundle/demo/"
        yield running


def ask(server: WebServer, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=sent)
    found = connection.getresponse()
    body = found.read()
    connection.close()
    return Answer(found.status, body, dict(found.getheaders()))


def test_it_listens_on_this_machine_alone(server: WebServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/bundle/config.json", "/bundle/nothing", "/", "/bundle/demo/"])
def test_every_answer_isolates_the_page(server: WebServer, path: str) -> None:
    """One resource without its header, and a page that asks for isolation does not get it."""
    headers = ask(server, path).headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/bundle/config.json", "application/json; charset=utf-8"),
        ("/bundle/model.onnx", "application/octet-stream"),
        ("/bundle/demo/runtime/run.wasm", "application/wasm"),
        ("/bundle/demo/", "text/html; charset=utf-8"),
    ],
)
def test_files_have_their_types(server: WebServer, path: str, kind: str) -> None:
    """A browser refuses a module or WebAssembly of another type."""
    found = ask(server, path)
    assert (found.status, found.headers["Content-Type"]) == (200, kind)
    assert int(found.headers["Content-Length"]) == len(found.body) > 0


def test_files_arrive_whole(server: WebServer) -> None:
    assert ask(server, "/bundle/large.onnx").body == LARGE
    assert ask(server, "/bundle/with%20space/%C3%BC.txt?v=1#x").body == "ü".encode()
    assert ask(server, "/bundle/inside.json").body == b"{}"
    assert ask(server, "/bundle/empty.txt") == Answer(
        200, b"", ask(server, "/bundle/empty.txt", "HEAD").headers
    )


def test_many_files_arrive_at_once(server: WebServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask(server, "/bundle/model.onnx").body, range(32)))
    assert found == [WEIGHTS] * 32


def test_head_sends_the_headers_alone(server: WebServer) -> None:
    head, whole = ask(server, "/bundle/model.onnx", "HEAD"), ask(server, "/bundle/model.onnx")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(WEIGHTS))


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=990-", slice(990, None)),
        ("bytes=990-5000", slice(990, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=-5000", None),
        ("bytes=0-", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("items=1-2", None),
        pytest.param(f"bytes={5000 * '9'}-", None, id="thousands-of-digits"),
    ],
)
def test_parts_of_a_file(server: WebServer, asked: str, part: slice | None) -> None:
    """Ranges that are not understood may be ignored, by RFC 9110; a wrong part may not be sent."""
    found = ask(server, "/bundle/model.onnx", Range=asked)
    assert found.body == (WEIGHTS if part is None else WEIGHTS[part])
    assert found.status == (200 if part is None else 206)
    if part is not None:
        start = WEIGHTS.index(found.body) if part.start else 0
        assert found.headers["Content-Range"].endswith(f"/{len(WEIGHTS)}")
        assert start % 200 == (part.start or 0) % 200


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=2000-3000", "bytes=20-10", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(server: WebServer, asked: str) -> None:
    found = ask(server, "/bundle/model.onnx", Range=asked)
    assert (found.status, found.body) == (416, b"")
    assert found.headers["Content-Range"] == f"bytes */{len(WEIGHTS)}"


def test_a_file_that_has_not_changed_is_not_sent_again(server: WebServer) -> None:
    first = ask(server, "/bundle/config.json")
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    again = ask(server, "/bundle/config.json", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    path = server.file_of("/bundle/config.json")
    assert path
    os.utime(path, ns=(1, 1))
    assert ask(server, "/bundle/config.json", If_None_Match=tag).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/bundle/../secret.txt",
        "/bundle/%2e%2e/secret.txt",
        "/bundle/demo/../../secret.txt",
        "/bundle/..%2fsecret.txt",
        "/bundle/..%5csecret.txt",
        "/bundle//etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/bundle/link.txt",
        "/bundle/up/secret.txt",
        "/bundle/config.json%00.txt",
        "/bundle/config.json/",
        "/bundle/with%20space/",
        "/bundle/",
        "/bundle",
        "/bundlex/config.json",
        "/bundle/demo/runtime/run.wasmx",
        "/bundle/" + "x" * 5000,
        "/" + "../" * 40 + "etc/passwd",
    ],
)
def test_nothing_else_is_reached(server: WebServer, path: str) -> None:
    found = ask(server, path)
    assert found.status == 404
    assert b"secret" not in found.body.replace(path.encode(), b"")


@pytest.mark.parametrize("host", ["example.org", "example.org:80", "127.0.0.1.example.org", ""])
def test_a_site_whose_name_leads_here_gets_nothing(server: WebServer, host: str) -> None:
    assert ask(server, "/bundle/config.json", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machine_has_several_names(server: WebServer, host: str) -> None:
    assert ask(server, "/bundle/config.json", Host=host).status == 200


@pytest.mark.parametrize(
    ("path", "target"), [("/", "/bundle/demo/"), ("/bundle/demo", "/bundle/demo/")]
)
def test_a_page_is_found_without_its_last_part(server: WebServer, path: str, target: str) -> None:
    found = ask(server, path)
    assert (found.status, found.headers["Location"]) == (302, target)


def test_what_writes_is_refused(server: WebServer) -> None:
    assert ask(server, "/bundle/config.json", "POST").status == 501
    assert ask(server, "/bundle/config.json", "DELETE").status == 501


def test_what_was_sent_is_counted(server: WebServer) -> None:
    server.sent.clear()
    ask(server, "/bundle/model.onnx")
    ask(server, "/bundle/model.onnx", Range="bytes=0-9")
    ask(server, "/bundle/model.onnx", "HEAD")
    ask(server, "/bundle/nothing")
    assert server.sent == {"/bundle/model.onnx": len(WEIGHTS) + 10}


def test_what_was_sent_is_counted_before_it_arrives(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So whoever has a file finds it counted."""
    count = server.count

    def slowly(path: str, size: int) -> None:
        time.sleep(0.2)
        count(path, size)

    monkeypatch.setattr(server, "count", slowly)
    server.sent.clear()
    ask(server, "/bundle/model.onnx")
    assert server.sent == {"/bundle/model.onnx": len(WEIGHTS)}


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser would wait for the rest for ever."""
    path = tmp_path / "model.onnx"
    path.write_bytes(LARGE)
    with serving({"/": tmp_path}) as server:
        monkeypatch.setattr(server, "count", lambda *_: os.truncate(path, PIECE))
        with pytest.raises(http.client.IncompleteRead):
            ask(server, "/model.onnx")


def test_a_file_that_vanishes_while_it_is_asked_for_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({"/": tmp_path}) as server:
        monkeypatch.setattr(server, "file_of", lambda _: tmp_path / "gone.onnx")
        assert ask(server, "/gone.onnx").status == 404


def test_no_name_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(socket, "getfqdn", lambda name="": asked.append(name) or name)
    with serving({"/": tmp_path}) as server:
        assert ask(server, "/").status == 404
    assert asked == []


def test_its_thread_ends_with_it(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with serving({"/": tmp_path}) as server:
        # Its own alone: those that answer requests come and go as they please.
        started = set(threading.enumerate()) - before
        ask(server, "/")
    assert len(started) == 1
    assert not any(thread.is_alive() for thread in started)


HIDDEN = [".env", ".git/config", "demo/.secret", "%2eenv", "demo/%2Esecret"]


@pytest.mark.parametrize("path", HIDDEN)
def test_nothing_hidden_is_served(server: WebServer, path: str) -> None:
    answer = ask(server, f"/bundle/{path}")
    assert answer.status == 404
    assert b"secret" not in answer.body
