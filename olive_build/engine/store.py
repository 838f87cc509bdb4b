"""The content-addressed store: artifacts by digest, records by cache key, history by slot."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from olive_build.engine.fingerprint import Description
from olive_build.engine.locks import Lock, try_lock, wait_lock
from olive_build.engine.trees import (
    FileEntry,
    Stamps,
    TreeDigest,
    digest_of_leaf,
    files_below,
    sha256_of,
    sync_folder,
    tree_of,
    write_atomically,
)
from olive_build.errors import StepError, UsageError
from olive_build.untrusted import read_bytes

FORMAT = "v1"
# Files up to this size are hashed whenever their artifact is looked up: what was measured is in
# such. Larger ones are when their times say that they were touched since they were hashed last, on
# their way into a bundle, and by `cache verify`.
SMALL_BYTES = 1 << 20
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
ANOTHER = "set OLIVE_BUILD_CACHE to a folder that can be written"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """A folder of files in the store, read-only."""

    digest: str
    path: Path
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        """Sum of the files' sizes."""
        return sum(entry.size_bytes for entry in self.files)

    def json(self, name: str) -> Any:
        """Return what is in a JSON file of it, whose bytes are those that the step wrote.

        Raises StepError where they are not, or where it has no such file.
        """
        try:
            recorded = next(entry for entry in self.files if entry.path == name)
            content = read_bytes(self.path / name, recorded.size_bytes)
            if hashlib.sha256(content).hexdigest() != recorded.sha256:
                raise OSError("its bytes are not those that were recorded when its step ran")
        except (OSError, StopIteration) as error:
            raise StepError(
                f"{name} in the cache is damaged",
                where=str(self.path),
                why=str(error) or "it is not recorded",
                hint="run `olive-build cache verify`, then build again",
            ) from error
        return json.loads(content)


@dataclass(frozen=True)
class Record:
    """What a step gave when it ran: written after its artifact, so it never names half of one."""

    description: Description
    artifact: str
    """Digest of the artifact, which may have been removed since."""
    files: tuple[FileEntry, ...]
    seconds: float
    peak_bytes: int | None
    log: str
    """Relative to the store's folder."""
    finished: str
    """UTC, ISO 8601."""

    @property
    def key(self) -> str:
        """The cache key."""
        return self.description.key

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        files = [[entry.path, entry.sha256, entry.size_bytes] for entry in self.files]
        rest = {name: getattr(self, name) for name in _PLAIN}
        return {"key": self.key, **self.description.as_json(), **rest, "files": files}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        """Read what `as_json` gave; raises KeyError, TypeError or ValueError if damaged.

        Its digest and the names in it become paths: neither may lead out of the store.
        """
        files = tuple(FileEntry(*entry) for entry in data["files"])
        rest = {name: data[name] for name in _PLAIN}
        digests = [rest["artifact"], *(entry.sha256 for entry in files)]
        paths = [rest["log"], *(entry.path for entry in files)]
        if not all(map(_DIGEST.fullmatch, digests)) or not all(map(_is_below, paths)):
            raise ValueError("it names what no step of a store gave")
        return cls(Description.from_json(data), files=files, **rest)


def _is_below(path: str) -> bool:
    return not (set(path.split("/")) & {"", ".", ".."} or set(path) & set("\\\0"))


_PLAIN = ("artifact", "seconds", "peak_bytes", "log", "finished")


def default_root() -> Path:
    """Return the folder of the cache: $OLIVE_BUILD_CACHE, or below $XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("OLIVE_BUILD_CACHE"):
        return Path(chosen).absolute()
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # a container's user without an entry in passwd
        raise UsageError(
            "there is no folder for the cache",
            why="neither HOME nor XDG_CACHE_HOME is set",
            hint=ANOTHER,
        ) from error
    return Path(base, "olive_build").absolute()


def _require_folder(root: Path) -> None:
    """Raise UsageError where something that is no folder lies at the store's place or above it."""
    there = next((path for path in (root, *root.parents) if os.path.lexists(path)), root)
    if os.path.lexists(there) and not os.path.isdir(there):
        raise UsageError(
            "the cache cannot be there",
            where=str(there),
            why="it is a link to nothing" if there.is_symlink() else "it is no folder",
            hint=ANOTHER,
        )


def why_not_written(root: Path) -> str | None:
    """Return why nothing can be written to a cache or, where there is none, why none can be made.

    None where that can be: it is tried in the nearest folder that is there, and left as it was.
    """
    there = next(path for path in (root, *root.parents) if os.path.lexists(path))
    try:
        with TemporaryDirectory(prefix=".olive-build-", dir=there):
            return None
    except OSError as error:
        return f"{there}: {error.strerror or error}"


class Store:
    """A folder of artifacts and records; many processes may use it at once.

    Reading needs no permission to write. An open store holds a lease: while it lives, `gc`
    removes nothing that was made or looked up since the store was opened. Raises UsageError where
    its place is no folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_root()).absolute() / FORMAT
        _require_folder(self.root)
        self.stamps = Stamps(self.root / "stamps.json")
        self._attempts: Path | None = None
        self._close: Callable[[], object] = lambda: None

    # -- reading

    def find(self, key: str) -> Record | None:
        """Return the record of a key and mark it as used; None if there is none or it is bad."""
        path = self.record_path(key)
        self._lease()
        try:
            record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        try:
            os.utime(path)
        except FileNotFoundError:  # collected a moment ago
            return None
        except OSError:  # a store that may only be read
            pass
        return record if record.key == key else None

    def artifact(self, record: Record) -> Artifact | None:
        """Return the record's artifact, None if it is not there or damaged.

        A damaged one is not what its record says: the step runs again, and takes its place.
        """
        path = self.artifact_path(record.artifact)
        try:
            if not self.holds(record) or not all(self._is_right(path, e) for e in record.files):
                return None
        except OSError:
            return None
        return Artifact(record.artifact, path, record.files)

    def holds(self, record: Record) -> bool:
        """Whether the record's artifact is there, by names and sizes."""
        path = str(self.artifact_path(record.artifact))
        try:
            for entry in record.files:
                status = os.lstat(f"{path}/{entry.path}")
                if status.st_size != entry.size_bytes or not stat.S_ISREG(status.st_mode):
                    return False
        except OSError:
            return False
        return sum(len(files) for _, _, files in os.walk(path)) == len(record.files)

    def _is_right(self, artifact: Path, entry: FileEntry) -> bool:
        path = artifact / entry.path
        small = entry.size_bytes <= SMALL_BYTES
        return (sha256_of(path) if small else self.stamps.digest(path).sha256) == entry.sha256

    def last(self, slot: str) -> Description | None:
        """Return what was last built for a slot, None if nothing was."""
        try:
            text = (self.root / "slots" / f"{slot}.json").read_text(encoding="utf-8")
            return Description.from_json(json.loads(text))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def digest_tree(self, path: str | Path) -> TreeDigest:
        """Return the digest of a leaf (see `trees.digest_of_leaf`), remembering what it read."""
        return digest_of_leaf(Path(path), self.stamps)

    # -- writing

    def attempt(self) -> Path:
        """Make and return an empty folder for one attempt; it vanishes with the store."""
        with self.writing():
            root = self._lease(must_write=True)
            assert root is not None
            folder = root / uuid.uuid4().hex[:8]
            folder.mkdir()
            return folder

    def try_lock(self, key: str) -> Lock | None:
        """Take a key's lock, so that two builds do not make one thing; None if another has it."""
        with self.writing():
            return try_lock(self.root / "locks" / f"{key}.lock")

    def new_log(self, slot: str, key: str) -> Path:
        """Return the path of a log to be written for one run of a step."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{key[:8]}-{uuid.uuid4().hex[:4]}.log"
        with self.writing():
            path = self.root / "logs" / slot / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            return path

    def publish(
        self, description: Description, out: Path, log: Path, seconds: float, peak: int | None
    ) -> Record:
        """Move the folder that a step wrote into the store, all of it or nothing, and record it.

        Raises StepError if the folder holds no file, links, or anything that is not a file, and
        if the store cannot be written.
        """
        with self.writing():
            tree = _seal(out, description.name, log)
            finished = datetime.now(UTC).isoformat(timespec="seconds")
            where = log.relative_to(self.root).as_posix()
            record = Record(description, tree.digest, tree.files, seconds, peak, where, finished)
            with self.exclusively():
                self._place(record, out)
                write_atomically(self.record_path(record.key), record.as_json(), sync=True)
            for entry in record.files:
                if entry.size_bytes > SMALL_BYTES:
                    self.stamps.note(self.artifact_path(record.artifact) / entry.path, entry.sha256)
            return record

    def set_aside(self, digest: str) -> bool:
        """Move a damaged artifact away, so that its step runs again; False if it is gone already.

        To be called with the store locked (`exclusively`).
        """
        path = self.artifact_path(digest)
        aside = self.root / "damaged" / f"{digest}-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        return True

    def remember(self, slot: str, description: Description) -> None:
        """Note what was built for a slot, unless that is known; history is never worth an error."""
        if self.last(slot) != description:
            with suppress(OSError):
                write_atomically(self.root / "slots" / f"{slot}.json", description.as_json())

    def close(self) -> None:
        """Give up the lease and remove what attempts left."""
        self.stamps.save()
        self._close()
        self._attempts, self._close = None, lambda: None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- where things are

    def record_path(self, key: str) -> Path:
        """Where the record of a key is."""
        return self.root / "records" / key[:2] / f"{key}.json"

    def artifact_path(self, digest: str) -> Path:
        """Where the artifact of a digest is."""
        return self.root / "artifacts" / digest[:2] / digest

    def exclusively(self) -> Lock:
        """Lock the whole store for the moments in which names appear or vanish."""
        return wait_lock(self.root / "locks" / "store.lock")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn the system's errors into ones that say which store, and what to do."""
        try:
            yield
        except OSError as error:
            full = error.errno in FULL
            raise StepError(
                f"the cache cannot be {'written' if self.root.is_dir() else 'made'}",
                where=str(self.root),
                why=f"{error.strerror or error}" + f": {error.filename}" * bool(error.filename),
                hint="free some space (`olive-build cache gc`), or " * full + ANOTHER,
            ) from error

    def _place(self, record: Record, out: Path) -> None:
        target = self.artifact_path(record.artifact)
        if self.artifact(record) is not None:
            return  # equal bytes are there already: this copy goes with its attempt
        if target.exists():  # a damaged one: out of the way
            os.rename(target, out.with_name(f"damaged-{uuid.uuid4().hex[:8]}"))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(out, target)
        sync_folder(target.parent)

    def _lease(self, must_write: bool = False) -> Path | None:
        if self._attempts is None:
            name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
            folder = self.root / "tmp" / name
            try:
                lock = try_lock(self.root / "locks" / f"{name}.lease")
                folder.mkdir(parents=True)
            except OSError:
                if must_write:
                    raise
                return None
            assert lock is not None
            lease = self.root / "locks" / f"{name}.lease"
            self._attempts = folder
            self._close = weakref.finalize(self, _end_lease, folder, lease, lock)
            remove_stale_attempts(self.root)
        return self._attempts


def _end_lease(folder: Path, lease: Path, lock: Lock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lease.unlink(missing_ok=True)
    lock.release()


def remove_stale_attempts(root: Path) -> None:
    """Remove what builds that died left behind; the lock of a living one is held."""
    for folder in (root / "tmp").iterdir():
        lease = root / "locks" / f"{folder.name}.lease"
        lock = try_lock(lease)
        if lock is not None:
            _end_lease(folder, lease, lock)


def _seal(out: Path, kind: str, log: Path) -> TreeDigest:
    """Hash, sync and write-protect what a step wrote."""
    entries = []
    for path in files_below(out):
        status = path.lstat()
        name = path.relative_to(out).as_posix()
        if not stat.S_ISREG(status.st_mode):
            raise StepError(
                f"step '{kind}' wrote {name}, which is not a plain file", where=str(log)
            )
        if status.st_nlink > 1 and stat.S_IMODE(status.st_mode) != 0o444:
            why = "it is a hard link to a file outside the store, which may still change"
            raise StepError(
                f"step '{kind}' wrote {name}, which cannot be kept",
                where=str(log),
                why=why,
                hint="copy it instead",
            )
        path.chmod(0o444)
        entries.append(FileEntry(name, sha256_of(path, sync=True), status.st_size))
    if not entries:
        raise StepError(f"step '{kind}' wrote no file", where=str(log))
    for folder, _, _ in os.walk(out):
        sync_folder(Path(folder))
    return tree_of(entries)
