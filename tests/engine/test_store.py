"""Bytes that rot, disks that fill, folders that cannot be written, and making room."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tiny_steps import Join

from olive_build.engine import store as store_module
from olive_build.engine.events import Outcome
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import SMALL_BYTES, Store
from olive_build.engine.upkeep import Collected, Damage, gc, ls, verify
from olive_build.errors import StepError, UsageError


def build(store: Store, *texts: str) -> list[Outcome]:
    """Run steps that do not depend on each other."""
    builder = GraphBuilder()
    for text in texts:
        builder.add(Join(text), {}, f"slot/{text[:50]}")
    return list(run_graph(builder.build(), store).values())


def file_of(outcome: Outcome) -> Path:
    """Return the main file of an outcome, made writable for the test."""
    assert outcome.artifact is not None
    path = outcome.artifact.path / "text"
    path.chmod(0o644)
    return path


def test_a_truncated_artifact_is_made_again(store: Store) -> None:
    (outcome,) = build(store, "abc")
    file_of(outcome).write_text("ab")
    (again,) = build(store, "abc")
    assert again.status == "ran"
    assert file_of(again).read_text() == "abc"
    assert build(store, "abc")[0].status == "cached"


def test_a_changed_digit_is_found_before_anything_reads_it_and_the_step_runs_again(
    store: Store,
) -> None:
    (outcome,) = build(store, "0.91")
    file_of(outcome).write_text("0.99")
    (again,) = build(store, "0.91")
    assert again.status == "ran"
    assert file_of(again).read_text() == "0.91"
    assert build(store, "0.91")[0].status == "cached"


def test_a_file_that_became_a_pipe_or_a_link_is_made_again(store: Store, tmp_path: Path) -> None:
    for number, replace in enumerate((os.mkfifo, lambda path: path.symlink_to(tmp_path / "like"))):
        (outcome,) = build(store, f"as{number}")
        (tmp_path / "like").write_text(f"as{number}")
        path = file_of(outcome)
        path.unlink()
        replace(path)
        (again,) = build(store, f"as{number}")
        assert again.status == "ran"
        assert file_of(again).read_text() == f"as{number}"


def test_figures_are_read_only_as_they_were_recorded(store: Store) -> None:
    (outcome,) = build(store, "0.91")
    artifact = outcome.artifact
    assert artifact is not None and artifact.json("text") == 0.91
    file_of(outcome).write_text("0.99")
    for name, why in (("text", "its bytes are not those that were recorded"), ("no", "it is not")):
        with pytest.raises(StepError, match=f"{name} in the cache is damaged") as caught:
            artifact.json(name)
        assert why in str(caught.value.why)
        assert "run `olive-build cache verify`, then build again" in str(caught.value.hint)


def test_verify_finds_a_flipped_byte_and_the_next_build_mends_it(store: Store) -> None:
    good, bad, gone = build(store, "good", "flipped", "gone")
    assert verify(store) == ()
    file_of(bad).write_text("flopped")
    assert gone.artifact is not None and bad.artifact is not None
    gone.artifact.path.rename(store.root / "elsewhere")
    assert set(verify(store)) == {
        Damage(bad.artifact.digest, "damaged", ("slot/flipped",)),
        Damage(gone.artifact.digest, "missing", ("slot/gone",)),
    }
    assert [o.status for o in build(store, "good", "flipped", "gone")] == ["cached", "ran", "ran"]
    assert file_of(bad).read_text() == "flipped"
    assert file_of(good).read_text() == "good"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null"])
def test_a_damaged_record_is_no_record(store: Store, text: str) -> None:
    (outcome,) = build(store, "abc")
    assert outcome.key is not None
    store.record_path(outcome.key).write_text(text)
    assert build(store, "abc")[0].status == "ran"


@pytest.mark.parametrize("change", [{"log": "elsewhere/x.log"}, {"files": [[1, "", 2]]}])
def test_a_record_with_odd_values_is_not_listed(store: Store, change: dict[str, Any]) -> None:
    (outcome,) = build(store, "abc")
    assert outcome.key is not None
    path = store.record_path(outcome.key)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert ls(store) == ()


def test_a_full_disk_is_named_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for broken in ("sync_folder", "write_atomically"):
        with monkeypatch.context() as patch:
            patch.setattr(store_module, broken, full)
            (outcome,) = build(store, "abc")
            assert outcome.status == "failed"
            assert isinstance(outcome.error, StepError)
            assert "No space left" in (outcome.error.why or "")
            assert "cache gc" in (outcome.error.hint or "")
        assert not list(store.root.glob("records/*/*"))
    assert build(store, "abc")[0].status == "ran"
    assert verify(store) == ()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


_AS_NOBODY = """
import os, sys
from pathlib import Path
from olive_build import rooms
rooms.extend(Path(sys.argv[1]))
from olive_build.steps.tiny_steps import Join
from olive_build.engine.fingerprint import tool_version
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.run import run_graph
from olive_build.engine.store import SMALL_BYTES, Store
from olive_build.errors import StepError
tool_version("pytest")  # nobody may not be allowed to read the interpreter's own files
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for text in ("old", "new"):
    builder = GraphBuilder()
    builder.add(Join(text), {}, "slot/" + text)
    try:
        print([o.status for o in run_graph(builder.build(), Store()).values()])
    except StepError as error:
        print(error.render())
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_read_only_store_serves_what_it_has(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_folder / "cache"
    monkeypatch.setenv("OLIVE_BUILD_CACHE", str(cache))
    with Store() as store:
        build(store, "old")
    folders = [Path(folder) for folder, _, _ in os.walk(cache)]
    for folder in folders:
        folder.chmod(0o555)
    command = [sys.executable, "-c", _AS_NOBODY, str(Path(__file__).with_name("rooms"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    for folder in folders:
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    first, second, where, why, *_ = done.stdout.splitlines()
    assert first == "['cached']"
    assert second == "error: the cache cannot be written"
    assert where.endswith(str(cache / "v1")) and "Permission denied" in why


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder in which nobody makes any")
def test_a_store_that_cannot_be_made_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIVE_BUILD_CACHE", "/proc/nope")
    with Store() as store, pytest.raises(StepError, match="the cache cannot be made") as caught:
        build(store, "abc")
    assert (caught.value.why or "").startswith("No such file or directory: /proc/nope")
    assert caught.value.hint == "set OLIVE_BUILD_CACHE to a folder that can be written"


@pytest.mark.parametrize("below", ["", "/below"])
@pytest.mark.parametrize("kind", ["a file", "a link to nothing"])
def test_a_store_where_something_else_lies_is_refused(
    tmp_path: Path, kind: str, below: str
) -> None:
    there = tmp_path / "there"
    if kind == "a file":
        there.touch()
    else:
        there.symlink_to("nowhere")
    with pytest.raises(UsageError, match="the cache cannot be there") as caught:
        Store(Path(f"{there}{below}"))
    assert caught.value.where == str(there)
    assert "OLIVE_BUILD_CACHE" in (caught.value.hint or "")


def age(store: Store, outcome: Outcome, days: float) -> None:
    """Pretend that a record was last used days ago."""
    assert outcome.key is not None
    then = time.time() - days * 86_400
    os.utime(store.record_path(outcome.key), (then, then))


def test_gc_by_age_and_by_size_removes_the_least_recently_used() -> None:
    with Store() as store:
        old, middle, young = build(store, "o" * 1000, "m" * 1000, "y" * 1000)
    age(store, old, 9)
    age(store, middle, 5)
    expected = Collected(records=1, artifacts=1, size_bytes=1005)
    assert gc(store, max_age_days=7, dry_run=True) == expected
    assert len(ls(store)) == 3
    assert gc(store, max_age_days=7) == expected
    assert [e.slot for e in ls(store)] == [middle.slot, young.slot]
    assert gc(store, max_size_mb=0.0015) == expected
    assert [e.slot for e in ls(store)] == [young.slot]
    assert gc(store, max_size_mb=0) == expected
    assert not list(store.root.glob("artifacts/*/*")) and not list(store.root.glob("locks/*.lock"))
    with Store() as fresh:
        assert build(fresh, "o" * 1000)[0].status == "ran"


def test_gc_keeps_what_a_running_build_made_or_looked_up() -> None:
    with Store() as before:
        used, unused = build(before, "used", "unused")
    with Store() as running, Store() as other:
        assert build(running, "made")[0].status == "ran"
        age(other, used, 100)
        age(other, unused, 100)
        assert build(running, "used")[0].status == "cached"
        assert gc(other, max_size_mb=0) == Collected(1, 1, 11)
        assert [e.slot for e in ls(other)] == ["slot/made", "slot/used"]
        assert [o.status for o in build(running, "used", "made")] == ["cached", "cached"]
    assert gc(Store(), max_size_mb=0).records == 2


def test_gc_keeps_an_artifact_that_another_record_names() -> None:
    with Store() as store:
        build(store, "abc")
        builder = GraphBuilder()
        builder.add(Join("abc", keep=3), {}, "twin")
        (twin,) = run_graph(builder.build(), store).values()
    age(store, twin, 9)
    assert gc(store, max_age_days=7) == Collected(1, 0, 0)
    with Store() as again:
        assert build(again, "abc")[0].status == "cached"


def test_gc_removes_what_nothing_names_only_when_nothing_runs() -> None:
    with Store() as store:
        (outcome,) = build(store, "abc")
        assert outcome.key is not None
        store.record_path(outcome.key).unlink()
        assert gc(store) == Collected(0, 0, 0)
    assert gc(store) == Collected(0, 1, 8)


def test_a_leaf_has_the_digest_of_its_names_and_bytes(store: Store, tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / ".cache").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "weights").write_text("w")
    first = store.digest_tree(model)
    assert [entry.path for entry in first.files] == ["config.json", "weights"]
    (model / ".cache" / "time").write_text("now")
    (tmp_path / "blob").write_text("w")
    (model / "weights").unlink()
    (model / "weights").symlink_to(tmp_path / "blob")
    assert store.digest_tree(model) == first
    (model / "weights").rename(model / "other")
    assert store.digest_tree(model).digest != first.digest
    (model / "loop").symlink_to(model)
    with pytest.raises(UsageError, match="digested"):
        store.digest_tree(model)
    with pytest.raises(UsageError, match="no such"):
        store.digest_tree(tmp_path / "nowhere")


def test_stamps_spare_reading_and_distrust_young_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.write_text("1")
    old = store.digest_tree(data)
    stat = data.stat()
    data.write_text("2")
    os.utime(data, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    young = Store().digest_tree(data)
    assert young != old, "the same size and time, but too young to be trusted"
    assert young == Store().digest_tree(data)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10_000_000_000)
    Store().digest_tree(data)
    monkeypatch.setattr("olive_build.engine.trees.sha256_of", None)
    assert Store().digest_tree(data) == young
    (store.root / "stamps.json").write_text('{"damaged')
    with pytest.raises(TypeError):
        Store().digest_tree(data)


BIG = SMALL_BYTES + 1


def test_a_large_file_is_made_again_where_its_bytes_changed_and_its_size_did_not(
    store: Store,
) -> None:
    (outcome,) = build(store, "m" * BIG)
    assert build(store, "m" * BIG)[0].status == "cached"
    with file_of(outcome).open("r+b") as file:
        file.seek(1000)
        file.write(b"n")
    with Store() as later:
        (again,) = build(later, "m" * BIG)
        assert again.status == "ran"
        assert set(file_of(again).read_text()) == {"m"}
        assert build(later, "m" * BIG)[0].status == "cached"


def test_a_large_file_is_not_hashed_again_until_it_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Store() as store:
        build(store, "m" * BIG)
    with monkeypatch.context() as patched:
        patched.setattr("olive_build.engine.trees.sha256_of", None)
        with Store() as later:
            assert build(later, "m" * BIG)[0].status == "cached"
    os.utime(file_of(outcome := build(later, "m" * BIG)[0]))
    assert outcome.status == "cached"
    with Store() as later:
        assert build(later, "m" * BIG)[0].status == "cached"


def test_a_file_that_was_added_to_an_artifact_is_none_of_it(store: Store) -> None:
    (outcome,) = build(store, "abc")
    file_of(outcome).with_name("notes.txt").write_text("all is well")
    (again,) = build(store, "abc")
    assert again.status == "ran"
    assert again.artifact is not None
    assert not (again.artifact.path / "notes.txt").exists()


OUTSIDE = "../../../outside"


@pytest.mark.parametrize(
    "change",
    [
        {"artifact": OUTSIDE},
        {"artifact": "/tmp"},
        {"artifact": "A" * 64},
        {"artifact": "0" * 63},
        {"artifact": 7},
        {"log": OUTSIDE},
        {"log": "/etc/passwd"},
        {"files": [[OUTSIDE, "0" * 64, 3]]},
        {"files": [["text", "0" * 63 + "\n", 3]]},
    ],
    ids=str,
)
def test_what_a_record_names_lies_in_the_store(
    store: Store, tmp_path: Path, change: dict[str, Any]
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "text").write_text("abc")
    (outcome,) = build(store, "abc")
    assert outcome.key is not None
    path = store.record_path(outcome.key)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert store.find(outcome.key) is None
    assert ls(store) == ()
    (again,) = build(store, "abc")
    assert again.status == "ran"
    assert again.artifact is not None and again.artifact.path.is_relative_to(store.root)


def test_gc_and_verify_beside_each_other_find_no_fault() -> None:
    for _ in range(5):
        with Store() as store:
            build(store, *(f"{number}" for number in range(30)))
        with ThreadPoolExecutor(5) as pool:
            checks = [pool.submit(verify, Store()) for _ in range(3)]
            gone = [pool.submit(gc, Store(), max_size_mb=0) for _ in range(2)]
        assert [check.result() for check in checks] == [(), (), ()]
        assert sum(item.result().records for item in gone) == 30
