"""Bundles appear whole, whatever lies in their place and whoever else publishes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from olive_build.bundle.index import write_index
from olive_build.bundle.publish import (
    BundleFile,
    DamagedSource,
    from_bytes,
    publish,
    remove_leftovers,
)
from olive_build.errors import BundleError

MANIFEST = b'{"manifest_version": 1, "recipe": "r", "target": "t", "variants": {}, "files": []}'


def put(folder: Path, content: bytes = b"1") -> None:
    publish(folder, [from_bytes("a/b.bin", content)], MANIFEST, b"{}")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_an_earlier_bundle_and_an_empty_folder_are_replaced_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    (tmp_path / "desktop").mkdir()
    for content in (b"1", b"2"):
        put(tmp_path / "desktop", content)
        assert (tmp_path / "desktop" / "a" / "b.bin").read_bytes() == content
        assert names(tmp_path) == {"desktop"}


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (None, "it holds files and no manifest.json, so it is no bundle"),
        ("{", "its manifest.json cannot be read"),
        ('{"manifest_version": 3, "name": "An extension"}', "its manifest.json is not that of a"),
        ("[]", "its manifest.json is not that of a bundle"),
    ],
)
def test_a_folder_that_is_no_bundle_is_not_replaced(
    tmp_path: Path, manifest: str | None, why: str
) -> None:
    folder = tmp_path / "desktop"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    with pytest.raises(BundleError) as caught:
        put(folder)
    assert caught.value.what == "a bundle would take the place of what is not one"
    assert caught.value.where == str(folder) and why in str(caught.value.why)
    assert "move it away, or choose another folder with --outputs" in str(caught.value.hint)
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert names(tmp_path) == {"desktop"}


def test_a_file_and_a_link_in_the_place_of_a_bundle_stay(tmp_path: Path) -> None:
    (tmp_path / "desktop").write_text("a file")
    (tmp_path / "web").symlink_to(tmp_path / "nowhere")
    for name in ("desktop", "web"):
        with pytest.raises(BundleError, match="a bundle would take the place of what is not one"):
            put(tmp_path / name)
    assert (tmp_path / "desktop").read_text() == "a file"
    assert (tmp_path / "web").is_symlink()


def test_what_a_killed_build_left_goes_and_what_only_has_a_like_name_stays(tmp_path: Path) -> None:
    dead = 999_999_999  # above the highest number of a process
    left = [f".desktop-{dead}-0123abcd", f".desktop-{dead}-0123abcd-old"]
    kept = [f".desktop-{dead}", f".desktop-{dead}-notes", ".desktop-2024-0123abcd-mine"]
    for name in (*left, *kept):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path / "desktop")
    assert names(tmp_path) == set(kept)


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


def test_what_changed_in_the_cache_is_never_published(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"model")
    recorded = BundleFile("model.onnx", sha256(b"other").hexdigest(), 5, source=source)
    with pytest.raises(DamagedSource, match=r"model\.onnx changed on its way") as caught:
        publish(tmp_path / "out" / "web", [recorded], b"{}", b"{}")
    assert caught.value.where == str(source)
    assert not (tmp_path / "out" / "web").exists()
