"""Digests of files and folders, and the stamps that spare re-reading what has not changed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.fingerprint import digest_of
from olive_build.errors import UsageError

PIECE_BYTES = 1 << 20
_RACY_NS = 2_000_000_000


@dataclass(frozen=True)
class FileEntry:
    """A file of a tree: its relative POSIX path, content and size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class TreeDigest:
    """The digest of a file or folder: sha256 over its sorted list of files, names included."""

    digest: str
    files: tuple[FileEntry, ...]

    @property
    def size_bytes(self) -> int:
        """Sum of the files' sizes."""
        return sum(entry.size_bytes for entry in self.files)


def tree_of(files: list[FileEntry]) -> TreeDigest:
    """Return the digest of a list of files, whatever its order."""
    ordered = tuple(sorted(files, key=lambda entry: entry.path))
    return TreeDigest(digest_of([[e.path, e.sha256, e.size_bytes] for e in ordered]), ordered)


def sha256_of(path: Path, *, sync: bool = False) -> str:
    """Return a file's sha256 (hex), read in pieces; `sync` also forces it to the disk."""
    hasher = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
        if sync:
            os.fsync(file.fileno())
    return hasher.hexdigest()


def files_below(root: Path) -> Iterator[Path]:
    """Yield every file and link below a folder, sorted; links to folders are not entered."""
    for folder, names, files in os.walk(root):
        names.sort()
        yield from (Path(folder, name) for name in sorted(files))
        yield from (Path(folder, name) for name in names if Path(folder, name).is_symlink())


def write_atomically(path: Path, value: object, *, sync: bool = False) -> None:
    """Write JSON so that a reader finds the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(value, separators=(",", ":")).encode(), sync=sync)


def replace_file(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Write a file so that a reader finds the old bytes or the new ones, never a part.

    Raises FileExistsError for what is no file: a device would be gone.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "what lies there is no file", str(path))
    attempt = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with attempt.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(attempt, path)
    finally:
        attempt.unlink(missing_ok=True)
    if sync:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Force a folder's list of names to the disk, where the system can (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Stamps:
    """Remembers digests of files by size, times, inode and device.

    A file changed less than 2 s before it was hashed is not trusted, as a second change may
    leave the same times (git's "racily clean" rule, Documentation/technical/racy-git.txt).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] | None = None
        self._changed = False

    def digest(self, path: Path) -> FileEntry:
        """Return the file's entry, named by its absolute path."""
        known = self._load()
        stat, name = path.stat(), str(path.absolute())
        stamp = _stamp(stat)
        match known.get(name):
            case [list(old), int(hashed_at), str(sha256)]:
                newest = max(stat.st_mtime_ns, stat.st_ctime_ns)
                if old == stamp and hashed_at - newest > _RACY_NS:
                    return FileEntry(name, sha256, stat.st_size)
        started = time.time_ns()
        sha256 = sha256_of(path)
        known[name] = [stamp, started, sha256]
        self._changed = True
        return FileEntry(name, sha256, stat.st_size)

    def note(self, path: Path, sha256: str) -> None:
        """Remember the digest of a file that nobody writes to any more."""
        trusted = time.time_ns() + _RACY_NS + 1
        self._load()[str(path.absolute())] = [_stamp(path.stat()), trusted, sha256]
        self._changed = True

    def save(self) -> None:
        """Write what was learnt; failing to is not an error, as it only costs time later."""
        if self._changed and self._known is not None:
            try:
                write_atomically(self._path, dict(self._known))
            except OSError:
                return
            self._changed = False

    def drop_missing(self) -> None:
        """Forget files that are no longer there."""
        known = self._load()
        self._known = {name: stamp for name, stamp in known.items() if os.path.exists(name)}
        self._changed = True
        self.save()

    def _load(self) -> dict[str, Any]:
        if self._known is None:
            try:
                loaded = json.loads(self._path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                loaded = None
            self._known = loaded if isinstance(loaded, dict) else {}
        return self._known


def _stamp(status: os.stat_result) -> list[int]:
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return [status.st_size, *times, status.st_ino, status.st_dev]


def digest_of_leaf(path: Path, stamps: Stamps) -> TreeDigest:
    """Return the digest of a file or folder that the user gave.

    Names that begin with a dot are left out (.git, .cache: they change by themselves). Links to
    files are followed, as the Hugging Face cache consists of them. Raises UsageError if there is
    nothing at `path`, if a folder below it is a link, or a link leads nowhere.
    """
    if not path.exists():
        raise UsageError("there is no such file or folder", where=str(path))
    names = [path] if path.is_file() else list(files_below(path))
    root = path.parent if path.is_file() else path
    entries = []
    for name in names:
        relative = name.relative_to(root)
        if path.is_dir() and any(part.startswith(".") for part in relative.parts):
            continue
        if not name.is_file():
            why = "only links to files are followed; this one leads to a folder or nowhere"
            raise UsageError("the folder cannot be digested", where=str(name), why=why)
        entry = stamps.digest(name)
        entries.append(FileEntry(relative.as_posix(), entry.sha256, entry.size_bytes))
    stamps.save()
    return tree_of(entries)
