"""Care of the store: what it holds, whether its bytes are still right, and making room."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from olive_build.engine.locks import try_lock
from olive_build.engine.store import Record, Store, remove_stale_attempts
from olive_build.engine.trees import FileEntry, files_below, sha256_of, tree_of

_DAY_SECONDS = 86_400
_LOG_DAYS = 30.0


@dataclass(frozen=True)
class Entry:
    """One record of the store and when it was last used."""

    record: Record
    slot: str
    """The slot for which it was first built."""
    size_bytes: int
    last_used: float
    """Seconds since 1970."""
    present: bool
    """Whether its artifact is there (by names and sizes; `verify` reads the bytes)."""


@dataclass(frozen=True)
class Damage:
    """An artifact that is not what its record says."""

    digest: str
    what: Literal["damaged", "missing"]
    slots: tuple[str, ...]


@dataclass(frozen=True)
class Collected:
    """What `gc` removed, or would remove."""

    records: int
    artifacts: int
    size_bytes: int


def ls(store: Store) -> tuple[Entry, ...]:
    """Return what the store holds, least recently used first; unreadable records are left out."""
    entries = []
    for path in store.root.glob("records/*/*.json"):
        try:
            record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
            used = path.stat().st_mtime
            slot = PurePosixPath(record.log).parent.relative_to("logs").as_posix()
            size = sum(entry.size_bytes for entry in record.files)
            present = store.holds(record)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        entries.append(Entry(record, slot, size, used, present))
    return tuple(sorted(entries, key=lambda entry: entry.last_used))


def verify(store: Store) -> tuple[Damage, ...]:
    """Read every byte of every artifact; return those that are damaged or missing.

    A damaged one is moved to the folder `damaged` and its records are dropped, so that the next
    build makes it again. What a `gc` beside it removes meanwhile is neither. Raises StepError if
    the store cannot be written.
    """
    entries = ls(store)
    found = []
    for path in sorted(store.root.glob("artifacts/*/*")):
        if _digest(path) == path.name:
            continue
        with store.writing(), store.exclusively():
            if store.set_aside(path.name):
                found.append(Damage(path.name, "damaged", _slots(entries, path.name)))
                for entry in entries:
                    if entry.record.artifact == path.name:
                        store.record_path(entry.record.key).unlink(missing_ok=True)
    known = {damage.digest for damage in found}
    with store.writing(), store.exclusively():
        recorded = {entry.record.artifact for entry in ls(store)} - known
        missing = sorted(item for item in recorded if not store.artifact_path(item).exists())
    return (*found, *(Damage(item, "missing", _slots(entries, item)) for item in missing))


def gc(
    store: Store,
    *,
    max_age_days: float | None = None,
    max_size_mb: float | None = None,
    dry_run: bool = False,
) -> Collected:
    """Remove what was not used for `max_age_days`, and the oldest down to `max_size_mb`.

    Sizes are in 10^6 bytes. What nothing refers to goes too, and what killed builds left.

    What a running build made or looked up stays, whatever the limits: every record that was used
    since the oldest living lease began. Raises StepError if the store cannot be written.
    """
    if not store.root.exists():
        return Collected(0, 0, 0)
    trash = store.root / "tmp" / f"gc-{uuid.uuid4().hex[:12]}"
    # Its lock is held: what opens the store meanwhile takes it for no leftover.
    lease = store.root / "locks" / f"{trash.name}.lease"
    with store.writing(), try_lock(lease) or nullcontext():
        with store.exclusively():
            entries = ls(store)
            doomed = _doomed(entries, _oldest_lease(store), max_age_days, max_size_mb)
            if not dry_run:
                trash.mkdir(parents=True)
                doomed = [entry for entry in doomed if _drop(store, entry, trash)]
                with suppress(FileNotFoundError):
                    (store.root / "damaged").rename(trash / "damaged")
            kept = {entry.record.key for entry in entries} - {e.record.key for e in doomed}
            collected = _collect(store, entries, kept, None if dry_run else trash)
        if not dry_run:
            shutil.rmtree(trash, ignore_errors=True)
            logs = {entry.record.log for entry in entries if entry.record.key in kept}
            _sweep(store, logs, _LOG_DAYS if max_age_days is None else max_age_days)
    return collected


def _digest(artifact: Path) -> str | None:
    """Return the digest of what lies there now, None if it cannot even be read."""
    try:
        return tree_of([_entry(path, artifact) for path in files_below(artifact)]).digest
    except OSError:
        return None


def _entry(path: Path, root: Path) -> FileEntry:
    name = path.relative_to(root).as_posix()
    return FileEntry(name, sha256_of(path), path.lstat().st_size)


def _slots(entries: tuple[Entry, ...], digest: str) -> tuple[str, ...]:
    return tuple(sorted({e.slot for e in entries if e.record.artifact == digest}))


def _oldest_lease(store: Store) -> float:
    """Return when the oldest open store was opened, infinity if none is."""
    oldest = float("inf")
    for lease in store.root.glob("locks/[!g]*.lease"):  # of builds, not of a `gc`
        lock = try_lock(lease)
        if lock is None:
            with suppress(FileNotFoundError):  # it ended a moment ago
                oldest = min(oldest, lease.stat().st_mtime)
        else:
            lock.release()
    return oldest


def _doomed(
    entries: tuple[Entry, ...],
    lease: float,
    max_age_days: float | None,
    max_size_mb: float | None,
) -> list[Entry]:
    """Choose the records to remove; `entries` are sorted by their last use."""
    users = Counter(entry.record.artifact for entry in entries)
    total = sum({e.record.artifact: e.size_bytes for e in entries if e.present}.values())
    oldest = -1.0 if max_age_days is None else time.time() - max_age_days * _DAY_SECONDS
    limit = float("inf") if max_size_mb is None else max_size_mb * 1e6
    doomed = []
    for entry in entries:
        if entry.last_used >= lease or (entry.last_used >= oldest and total <= limit):
            continue
        doomed.append(entry)
        users[entry.record.artifact] -= 1
        if entry.present and not users[entry.record.artifact]:
            total -= entry.size_bytes
    return doomed


def _drop(store: Store, entry: Entry, trash: Path) -> bool:
    """Take a record away, unless a build looked it up a moment ago: then put it back."""
    path = store.record_path(entry.record.key)
    aside = trash / path.name
    path.rename(aside)
    if aside.stat().st_mtime == entry.last_used:
        return True
    aside.rename(path)
    return False


def _collect(
    store: Store, entries: tuple[Entry, ...], kept: set[str], trash: Path | None
) -> Collected:
    """Take away artifacts whose records are gone, and if nothing runs, those without any."""
    wanted = {entry.record.artifact for entry in entries if entry.record.key in kept}
    dropped = {entry.record.artifact for entry in entries} - wanted
    idle = _oldest_lease(store) == float("inf")
    artifacts, size = 0, 0
    for path in store.root.glob("artifacts/*/*"):
        if path.name in dropped or (idle and path.name not in wanted):
            artifacts += 1
            size += sum(file.lstat().st_size for file in files_below(path))
            if trash is not None:
                path.rename(trash / path.name)
    return Collected(len(entries) - len(kept), artifacts, size)


def _sweep(store: Store, logs: set[str], max_age_days: float) -> None:
    """Remove leftovers of dead builds, old logs and free locks; another may do so beside it."""
    remove_stale_attempts(store.root)
    oldest = time.time() - max_age_days * _DAY_SECONDS
    for log in _files(store.root / "logs"):
        with suppress(FileNotFoundError):
            if log.stat().st_mtime < oldest and log.relative_to(store.root).as_posix() not in logs:
                log.unlink()
    for path in _files(store.root / "locks"):
        lock = try_lock(path)
        if lock is not None:
            path.unlink(missing_ok=True)
            lock.release()
    for path in store.root.glob("records/*/.*"):  # a writer died between its text and the rename
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _DAY_SECONDS:
                path.unlink()
    store.stamps.drop_missing()


def _files(folder: Path) -> Iterator[Path]:
    return (Path(root, name) for root, _, names in os.walk(folder) for name in names)
