"""`olive-build serve`: what it serves, how it ends, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data

from olive_build.clients.client_packages import PLAIN_RUNTIME

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = json.dumps(manifest_data({"recipe": "neo"}))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "demo").mkdir(parents=True)
    (folder / "manifest.json").write_text(MANIFEST, encoding="utf-8")
    (folder / "demo" / "index.html").write_text("<title>neo</title>", encoding="utf-8")
    return folder


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    """A folder as `make clients` leaves it, with other files in the places of the real ones."""
    folder = tmp_path / "clients"
    for name, path in PLAIN_RUNTIME.items():
        file = folder / "node_modules" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name, encoding="utf-8")
    (folder / ".ready").touch()
    return folder


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "olive_build", "serve", *map(str, arguments)]


def refused(clients: Path, *arguments: str | Path) -> tuple[int, str]:
    """Return the exit code and the message of a server that does not start."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CLIENTS": str(clients)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def running(bundle: Path, clients: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(bundle, "--port", "0"),
        cwd=ROOT,
        env={**os.environ, "OLIVE_BUILD_CLIENTS": str(clients), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    match = re.fullmatch(r"neo is at (http://127\.0\.0\.1:\d+/\S*/)\n", process.stdout.readline())
    assert match
    assert process.stdout.readline() == "Ctrl-C stops it.\n"
    return match[1]


def test_it_serves_the_page_the_bundle_and_the_runtime(running: subprocess.Popen[str]) -> None:
    url = address(running)
    for path, content in (
        ("", "<title>neo</title>"),
        ("../manifest.json", MANIFEST),
        *((f"runtime/{name}", name) for name in PLAIN_RUNTIME),
    ):
        with urllib.request.urlopen(urllib.request.urljoin(url, path), timeout=30) as answer:
            assert answer.read().decode() == content
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "connect-src 'self'" in policy
            assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_stopping_it_is_its_proper_end(running: subprocess.Popen[str], how: signal.Signals) -> None:
    address(running)
    running.send_signal(how)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (0, "stopped\n", "")


def test_a_port_that_is_taken(bundle: Path, clients: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = refused(clients, bundle, "--port", str(port))
    assert code == 2
    assert f"port {port} cannot be served" in said
    assert "--port 0 takes a free one" in said


def test_a_folder_that_is_no_bundle(tmp_path: Path, clients: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        code, said = refused(clients, folder)
        assert code == 6
        assert str(folder) in said
        assert "manifest.json" in said


def test_a_bundle_without_a_page(bundle: Path, clients: Path) -> None:
    (bundle / "demo" / "index.html").unlink()
    code, said = refused(clients, bundle)
    assert code == 6
    assert "no page" in said
    assert "web bundles of text generation have one" in said


def test_packages_that_were_never_installed(bundle: Path, tmp_path: Path) -> None:
    code, said = refused(tmp_path / "nothing", bundle)
    assert code == 2
    assert "not installed" in said
    assert "make clients" in said


def test_packages_that_lack_a_file(bundle: Path, clients: Path) -> None:
    missing = clients / "node_modules" / PLAIN_RUNTIME["ort-wasm-simd-threaded.wasm"]
    missing.unlink()
    code, said = refused(clients, bundle)
    assert code == 2
    assert str(missing) in said
    assert "make clients" in said


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none(bundle: Path, clients: Path, port: str) -> None:
    code, said = refused(clients, bundle, "--port", port)
    assert code == 2
    assert "--port" in said
