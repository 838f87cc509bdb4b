"""What clients need is found, or its lack explained: packages, runtime, browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from olive_build.clients import client_packages
from olive_build.clients.client_packages import (
    CHROMIUMS,
    PLAIN_RUNTIME,
    TRAINING_RUNTIME,
    WEBGPU_RUNTIME,
    clients_folder,
    find_chromium,
    require_chromium,
    require_clients,
    runtime_files,
)
from olive_build.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def installed(folder: Path) -> Path:
    folder.mkdir()
    (folder / ".ready").touch()
    return folder


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_packages_are_found_here_and_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, project = tmp_path / "here", tmp_path / "project"
    here.mkdir()
    project.mkdir()
    monkeypatch.setattr(client_packages, "PROGRAMS", project / "olive_build" / "clients")
    monkeypatch.chdir(here)
    monkeypatch.delenv("OLIVE_BUILD_CLIENTS", raising=False)
    assert clients_folder() is None
    theirs = installed(here / ".clients")
    assert clients_folder() == theirs
    ours = installed(project / ".clients")  # before what lies in anybody's folder
    assert clients_folder() == ours
    named = installed(tmp_path / "named")
    monkeypatch.setenv("OLIVE_BUILD_CLIENTS", str(named))
    assert require_clients() == named


def test_an_installation_that_did_not_finish_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLIVE_BUILD_CLIENTS", str(tmp_path))
    (tmp_path / "node_modules").mkdir()
    with pytest.raises(UsageError) as caught:
        require_clients()
    assert caught.value.where == str(tmp_path)
    assert "make clients" in caught.value.render()
    assert "OLIVE_BUILD_CLIENTS" in caught.value.render()


def test_a_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installed(tmp_path / "clients")
    monkeypatch.setenv("OLIVE_BUILD_CLIENTS", str(folder))
    with pytest.raises(UsageError) as caught:
        runtime_files(PLAIN_RUNTIME)
    first = next(iter(PLAIN_RUNTIME.values()))
    assert caught.value.where == str(folder / "node_modules" / first)


@pytest.mark.skipif(clients_folder() is None, reason="run `make clients`")
def test_what_is_installed_is_complete() -> None:
    """So a newer package that has its files elsewhere fails here, and not on a page."""
    files = runtime_files(PLAIN_RUNTIME | WEBGPU_RUNTIME | TRAINING_RUNTIME)
    assert all(path.stat().st_size > 1000 for path in files.values())
    for name in ("transcribe.mjs", "generate.mjs", "drive.mjs", "requests.mjs"):
        assert (require_clients() / name).is_file()


def test_chromium_has_several_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLIVE_BUILD_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    chrome = program(tmp_path / "google-chrome")
    assert find_chromium() == str(chrome)
    chromium = program(tmp_path / "chromium")
    assert find_chromium() == str(chromium)
    monkeypatch.setenv("OLIVE_BUILD_CHROMIUM", str(chrome))
    assert require_chromium() == str(chrome)


def test_a_chromium_that_is_named_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "chromium")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OLIVE_BUILD_CHROMIUM", "/nowhere/chrome")
    with pytest.raises(UsageError) as caught:
        require_chromium()
    assert "names /nowhere/chrome, which is no program" in caught.value.render()
    assert "apt-get install chromium" in caught.value.render()


def test_make_and_python_look_for_the_same_browsers() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    match = re.search(r"^chromiums := ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert match
    listed = re.findall(r"'([^']+)'|([^\s\\']+)", match[1])
    assert tuple(quoted or plain for quoted, plain in listed) == CHROMIUMS
