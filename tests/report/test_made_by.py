"""Which steps a report tells of, where equal bytes were made more than once."""

from __future__ import annotations

from pathlib import Path

from olive_build.engine.fingerprint import Description
from olive_build.engine.store import Record, Store
from olive_build.engine.trees import FileEntry, write_atomically
from olive_build.report.made_by import steps_behind

FILE = "f" * 64


def made(store: Store, slot: str, artifact: str, source: str, finished: int) -> None:
    """Record a step that made `artifact` of `source`; `a` is the one that is shipped."""
    given = Description("none:Step", {}, {"slot": slot}, {"source": source * 64}, {}, None)
    files = (FileEntry("model.onnx", FILE if artifact == "a" else artifact * 64, 1),)
    time, log = f"2026-01-01T00:00:0{finished}", f"logs/{slot}/1.log"
    record = Record(given, artifact * 64, files, 1.0, None, log, time)
    write_atomically(store.record_path(record.key), record.as_json())


def slots(store: Store) -> list[tuple[str, int]]:
    return [(step.slot, step.depth) for step in steps_behind([{FILE}], store)]


def test_a_step_that_changed_nothing_did_not_make_what_it_was_given(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made(store, "export", "a", "e", 1)
    made(store, "nothing-to-fuse", "a", "a", 2)
    assert slots(store) == [("export", 0)]


def test_steps_that_undo_each_other_are_told_of_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made(store, "export", "a", "e", 1)
    made(store, "do", "b", "a", 2)
    made(store, "undo", "a", "b", 3)
    assert slots(store) == [("do", 0), ("undo", 1)]


def test_a_step_that_was_only_ever_given_what_it_made_is_told_of(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made(store, "nothing-to-fuse", "a", "a", 1)
    assert slots(store) == [("nothing-to-fuse", 0)]
