"""The real download of a hub's repository, from a server of the hub's addresses on localhost."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

REPO, COMMIT = "someone/some-model", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of a hub with one repository, and its files, which a test fills."""
    files: dict[str, bytes] = {}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            path = self.path.partition("?")[0]
            if path == f"/api/models/{REPO}/revision/{COMMIT}":
                siblings = [{"rfilename": name} for name in files]
                answer = json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode()
            elif path.startswith(f"/api/models/{REPO}/tree/{COMMIT}"):
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": _digest(data)}
                    for name, data in files.items()
                ]
                answer = json.dumps(entries).encode()
            elif path.removeprefix(f"/{REPO}/resolve/{COMMIT}/") in files:
                answer = files[path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")]
            else:
                self.send_error(404, "Revision Not Found")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("ETag", f'"{_digest(answer)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def fetch(address: str, into: Path, weights: str | None) -> subprocess.CompletedProcess[str]:
    """Fetch in a process of its own: the hub's library reads its address when it is imported."""
    code = (
        "import sys; from pathlib import Path; from olive_build.errors import OliveBuildError\n"
        "from olive_build.plan.sources import fetch_hub\n"
        "repo, commit, into, weights = sys.argv[1:]\n"
        "try:\n"
        "    found = fetch_hub(repo, commit, weights or None, into=Path(into), report=print)\n"
        "    print(found.folder)\n"
        "except OliveBuildError as error:\n"
        "    sys.exit(f'{error} {error.why} {error.hint}')\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    environment["HF_HOME"] = str(into / "home")
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, "-c", code, REPO, COMMIT, str(into), weights or ""],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def saved(tensors: Mapping[str, torch.Tensor], path: Path) -> bytes:
    (save_file if path.suffix == ".safetensors" else torch.save)(dict(tensors), path)
    return path.read_bytes()


WEIGHTS = {"wte.weight": torch.arange(6.0).reshape(2, 3)}


def test_safetensors_configuration_and_tokenizer_come_and_nothing_else(
    hub: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = hub
    files["config.json"] = b"{}"
    files["tokenizer.json"] = b"{}"
    files["chat_template.jinja"] = b"{{ messages }}"
    files["model.safetensors"] = saved(WEIGHTS, tmp_path / "a.safetensors")
    files["pytorch_model.bin"] = b"a pickle that nobody asked for"
    files["run.py"] = b"raise SystemExit"
    done = fetch(address, tmp_path, None)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}


def test_pickled_weights_that_a_recipe_names_become_safetensors(
    hub: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = hub
    files["config.json"] = b"{}"
    files["pytorch_model.bin"] = saved(WEIGHTS, tmp_path / "a.bin")
    done = fetch(address, tmp_path, "pytorch_model.bin")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert torch.equal(load_file(folder / "model.safetensors")["wte.weight"], WEIGHTS["wte.weight"])


def test_safetensors_are_taken_before_a_pickle_that_a_recipe_names(
    hub: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = hub
    files["model.safetensors"] = saved(WEIGHTS, tmp_path / "a.safetensors")
    files["pytorch_model.bin"] = b"never opened"
    done = fetch(address, tmp_path, "pytorch_model.bin")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert {path.name for path in folder.iterdir()} == {"model.safetensors"}


def test_pickles_that_no_recipe_names_are_refused(
    hub: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = hub
    files["config.json"] = b"{}"
    files["pytorch_model.bin"] = saved(WEIGHTS, tmp_path / "a.bin")
    done = fetch(address, tmp_path, None)
    assert done.returncode == 1
    assert "the model has no weights as safetensors" in done.stderr
    assert "weights: pytorch_model.bin" in done.stderr
    assert not any((tmp_path / "hub").iterdir())


def test_a_name_that_the_repository_does_not_have(
    hub: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = hub
    files["config.json"] = b"{}"
    done = fetch(address, tmp_path, "weights.bin")
    assert "the repository has no file weights.bin" in done.stderr
    assert "it has config.json" in done.stderr
