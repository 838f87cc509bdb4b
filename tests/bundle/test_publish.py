"""Bundles appear whole, whatever lies in their place and whoever else publishes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from olive_build.bundle.index import write_index
from olive_build.bundle.publish import from_bytes, publish
from olive_build.errors import BundleError


def put(folder: Path, content: bytes = b"1") -> None:
    publish(folder, [from_bytes("a/b.bin", content)], b"{}", b"{}")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_in_the_place_of_a_bundle_is_replaced_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "desktop").write_text("a file")
    put(tmp_path / "desktop")
    assert (tmp_path / "desktop" / "a" / "b.bin").read_bytes() == b"1"
    assert names(tmp_path) == {"desktop"}


def test_many_that_publish_at_once_do_each_other_no_harm(tmp_path: Path) -> None:
    contents = [bytes([number]) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: put(tmp_path / "desktop", content), contents))
    assert (tmp_path / "desktop" / "a" / "b.bin").read_bytes() in contents
    assert names(tmp_path) == {"desktop"}


def test_the_index_leaves_out_what_is_no_bundle(tmp_path: Path) -> None:
    for name, text in (("empty", ""), ("none", "{}"), ("list", "[]"), ("odd", '{"files": 1}')):
        (tmp_path / "recipe" / name).mkdir(parents=True)
        (tmp_path / "recipe" / name / "manifest.json").write_text(text)
    (tmp_path / "recipe" / "folder" / "manifest.json").mkdir(parents=True)
    write_index(tmp_path)
    assert json.loads((tmp_path / "index.json").read_text())["bundles"] == []


@pytest.mark.parametrize("name", ["index.json", ".index.lock"])
def test_an_index_that_cannot_be_written_is_a_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(BundleError) as caught:
        write_index(tmp_path)
    assert caught.value.where == str(tmp_path / "index.json")


def test_an_index_that_is_right_needs_no_permission(tmp_path: Path) -> None:
    write_index(tmp_path)
    (tmp_path / ".index.lock").unlink()
    (tmp_path / ".index.lock").mkdir()  # as good as a folder that cannot be written
    write_index(tmp_path)
