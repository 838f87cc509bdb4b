"""What a stranger puts into a bundle or beside one is not waited for, followed or believed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
from samples import manifest_data, proof_data

from olive_build.bundle.index import write_index
from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.previous import previous_build
from olive_build.bundle.publish import from_bytes, is_published, publish
from olive_build.bundle.verify import verify
from olive_build.engine.store import Store
from olive_build.engine.trees import sha256_of
from olive_build.errors import BundleError, UsageError
from olive_build.record.read import file_of, read_manifest, read_record
from olive_build.report.bundle_recipe import plan_of_bundle
from olive_build.report.contestants import gather
from olive_build.report.reporting import Asked, write_report
from olive_build.report.style import table

SOUND = manifest_data({"recipe": "my-model", "model": {"family": "causal-lm"}})
PROVED = proof_data()


@pytest.fixture(autouse=True)
def not_for_ever() -> Iterator[None]:
    """End a test that waits for a pipe."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def bundle(folder: Path, **changes: Any) -> Path:
    """Write a bundle as far as it is read here."""
    (folder / "int8").mkdir(parents=True)
    (folder / "int8" / "model.onnx").write_bytes(b"1")
    (folder / "manifest.json").write_text(json.dumps({**SOUND, **changes}))
    (folder / "proof.json").write_text(json.dumps(PROVED))
    return folder


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe"),
    "socket": (a_socket, "it is a socket"),
    "link to a file": (lambda path: path.symlink_to("/etc/passwd"), "it is a link"),
    "link to a folder": (lambda path: path.symlink_to("/etc"), "it is a link"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "it is a link"),
    "link to nothing": (lambda path: path.symlink_to("nowhere"), "it is a link"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_bundle_is_plain_files_alone(tmp_path: Path, name: str) -> None:
    make, what = STRANGE[name]
    folder = bundle(tmp_path / "b")
    make(folder / "int8" / "odd")
    for read in (read_manifest, verify):
        with pytest.raises(BundleError, match="the bundle holds what is no plain file") as caught:
            read(folder)
        assert caught.value.why == f"int8/odd: {what}"
        assert "copy files in place of links" in str(caught.value.hint)


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("file", ["manifest.json", "proof.json"])
def test_a_manifest_and_a_proof_are_plain_files(tmp_path: Path, name: str, file: str) -> None:
    make, what = STRANGE[name]
    folder = bundle(tmp_path / "b")
    (folder / file).unlink()
    make(folder / file)
    with pytest.raises(BundleError, match=f"{file} cannot be read") as caught:
        read_record(folder, whole=False)
    assert what in str(caught.value.why)
    # And what walks over all bundles passes it by.
    bundle(tmp_path / "outputs" / "recipe" / "web", target="web")
    folder.rename(tmp_path / "outputs" / "recipe" / "desktop")
    write_index(tmp_path / "outputs")
    index = json.loads((tmp_path / "outputs" / "index.json").read_text())
    assert [item["target"] for item in index["bundles"]] == ["web"]
    assert previous_build(tmp_path / "outputs" / "recipe" / "desktop", b"{}") is None


@pytest.mark.parametrize("name", ["pipe", "link to a file", "link to a folder"])
def test_a_bundle_with_more_than_its_files_is_not_up_to_date(tmp_path: Path, name: str) -> None:
    files, manifest = [from_bytes("a/b.bin", b"1")], json.dumps(SOUND).encode()
    publish(tmp_path / "b", files, manifest, b"{}")
    assert is_published(tmp_path / "b", files, manifest, b"{}", sha256_of)
    STRANGE[name][0](tmp_path / "b" / "odd")
    assert not is_published(tmp_path / "b", files, manifest, b"{}", sha256_of)
    (tmp_path / "b" / "odd").unlink()
    (tmp_path / "b" / "a" / "b.bin").unlink()
    STRANGE[name][0](tmp_path / "b" / "a" / "b.bin")
    assert not is_published(tmp_path / "b", files, manifest, b"{}", sha256_of)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a\x1b[31m", "a\ud800", 5])
@pytest.mark.parametrize("key", ["recipe", "target", "provider", "status"])
def test_a_bundle_whose_record_is_damaged_is_not_in_the_index(
    tmp_path: Path, key: str, name: object
) -> None:
    folder = bundle(tmp_path / "outputs" / "recipe" / "b", **{key: name})
    if key != "status" or name in (5, "a\ud800"):
        with pytest.raises(BundleError, match=r"manifest\.json (is damaged|cannot be read)"):
            read_manifest(folder)
    bundle(tmp_path / "outputs" / "recipe" / "sound")
    write_index(tmp_path / "outputs")
    index = json.loads((tmp_path / "outputs" / "index.json").read_text())
    there = {item["path"] for item in index["bundles"]}
    assert ("recipe/b" in there) == (key == "status" and name not in (5, "a\ud800"))
    assert "recipe/sound" in there


def test_the_name_of_a_variant_is_a_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is damaged") as caught:
        read_manifest(bundle(tmp_path / "b", variants={"../../x": SOUND["variants"]["int8"]}))
    assert "small letters, digits and . _ - alone" in str(caught.value.why)


def test_a_bundle_without_variants_is_not_verified(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is damaged") as caught:
        verify(bundle(tmp_path / "b", variants={}))
    assert "it names no variant, so nothing is proved" in str(caught.value.why)


def test_a_report_goes_nowhere_but_beside_the_bundle(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "a" / "b" / "c", target="../../../escaped")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        write_report(Asked((str(folder),), tmp_path, tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../outside", "its name leaves the folder"),
        ("/etc/passwd", "its name leaves the folder"),
        ("int8/../../outside", "its name leaves the folder"),
        ("C:\\x", "its name leaves the folder"),
        ("int8", "it is a folder, not a plain file"),
        ("linked/passwd", "it is a link, or lies behind one"),
        ("nothing", "No such file"),
    ],
)
def test_a_manifest_names_files_of_its_bundle_alone(tmp_path: Path, name: str, why: str) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "linked").symlink_to("/etc")
    (tmp_path / "outside").write_bytes(b"1")
    assert file_of(folder, "int8/model.onnx") == folder / "int8" / "model.onnx"
    with pytest.raises(BundleError, match="names what is no file of the bundle") as caught:
        file_of(folder, name)
    assert why in str(caught.value.why)


def test_a_bench_runs_no_file_outside_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"1")
    outside = {**SOUND["variants"]["int8"], "files": {"onnx": "../m.onnx"}}
    folder = bundle(tmp_path / "b", variants={"int8": outside})
    with (
        Store(tmp_path / "cache") as store,
        pytest.raises(BundleError, match=r"manifest\.json is damaged"),
    ):
        gather([folder], (), store, recipes=tmp_path, outputs=tmp_path)


def test_a_recipe_is_looked_up_by_its_name_among_the_users_own(tmp_path: Path) -> None:
    """Neither the bundle's own file nor one elsewhere is opened, whatever the bundle says."""
    (tmp_path / "recipes").mkdir()
    folder = bundle(tmp_path / "b", recipe="evil")
    for path in (folder / "evil.yaml", tmp_path / "evil.yaml"):
        path.write_text("recipe: 1\nname: evil\n")
    with Store(tmp_path / "cache") as store:
        with pytest.raises(UsageError) as caught:
            gather([folder], (), store, recipes=tmp_path / "recipes", outputs=tmp_path)
        assert "the recipe 'evil', which the bundle names, is not among yours" in caught.value.what
        assert "your own evil.yaml with --recipes" in str(caught.value.hint)
        for name in (str(tmp_path / "evil.yaml"), "../evil", "/etc/passwd"):
            with pytest.raises(UsageError, match="is not among yours"):
                plan_of_bundle(name, "desktop", tmp_path / "recipes", store, smoke=False)


def test_a_text_of_a_stranger_moves_nothing_on_a_terminal() -> None:
    odd = "a\x1b]0;x\x07\u202e\ud800"
    shown = "a\\x1b]0;x\\x07\\u202e\\ud800"
    error = BundleError(odd, where=odd, why=f"{odd}\n{odd}", hint="schön, 東京")
    assert error.render().splitlines() == [
        f"error: {shown}",
        f"  at:      {shown}",
        f"  because: {shown}",
        f"           {shown}",
        "  to fix:  schön, 東京",
    ]
    assert table([["head"], [f"{odd}\n"]])[2] == f"{shown}\\n"
    finding = Finding(Code.UNREADABLE, "error", odd, odd, odd, odd)
    assert "\x1b" not in finding.render() and shown in finding.render()
