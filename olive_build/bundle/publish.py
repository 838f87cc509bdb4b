"""Publish a bundle whole or not at all; a bundle that is already there and equal is left alone."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.locks import wait_lock
from olive_build.engine.trees import files_below
from olive_build.errors import BundleError
from olive_build.record.manifest import File
from olive_build.record.read import MANIFEST, MOST_BYTES, PROOF, SEAL, is_bundle, seal_of
from olive_build.untrusted import plain_below, read_bytes

PIECE = 1 << 20


class DamagedSource(BundleError):
    """What was to be copied from the cache is not what its step wrote."""


@dataclass(frozen=True)
class BundleFile:
    """A file to be published: from a path with a known digest, or from bytes."""

    path: str
    sha256: str
    size_bytes: int
    source: Path | None = None
    content: bytes | None = None

    @property
    def listed(self) -> File:
        """The file as the manifest lists it."""
        return File(self.path, self.sha256, self.size_bytes)


def from_bytes(path: str, content: bytes) -> BundleFile:
    """Return a file whose content is made here."""
    return BundleFile(path, hashlib.sha256(content).hexdigest(), len(content), content=content)


def is_published(
    folder: Path,
    files: list[BundleFile],
    manifest: bytes,
    proof: bytes,
    digest: Callable[[Path], str],
) -> bool:
    """Whether `folder` holds exactly these files. `digest` may remember what it has read."""
    try:
        for name, content in _said(manifest, proof).items():
            if read_bytes(folder / name, MOST_BYTES) != content:
                return False
        there = {path.relative_to(folder).as_posix() for path in files_below(folder)}
        if there != {MANIFEST, PROOF, SEAL, *(file.path for file in files)}:
            return False
        return all(
            path.stat().st_size == file.size_bytes and digest(path) == file.sha256
            for file in files
            for path in (plain_below(folder, file.path),)
        )
    except OSError:
        return False


def require_replaceable(folder: Path) -> None:
    """Raise BundleError where something lies that a build must not replace, or nothing can lie.

    Nothing, an empty folder and an earlier bundle of ours, whole or not, may be replaced.
    """
    try:
        folder.lstat()
    except FileNotFoundError:
        above = next(place for place in folder.absolute().parents if place.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise _not_written(folder, f"{above} is no folder that can be written") from None
        return
    except OSError as error:
        raise _not_written(folder, error.strerror or str(error)) from error
    if not folder.is_dir():
        raise _not_ours(folder, "it is a file or a link, and no bundle")
    if not any(folder.iterdir()):
        return
    try:
        is_ours = is_bundle(folder)
    except FileNotFoundError:
        raise _not_ours(folder, f"it holds files and no {MANIFEST}, so it is no bundle") from None
    except OSError as error:
        raise _not_ours(folder, f"its {MANIFEST} cannot be read: {error}") from None
    if not is_ours:
        raise _not_ours(folder, f"its {MANIFEST} is not that of a bundle")


def _not_ours(folder: Path, why: str) -> BundleError:
    return BundleError(
        "a bundle would take the place of what is not one",
        where=str(folder),
        why=f"{why}; nothing of it was touched",
        hint="move it away, or choose another folder with --outputs",
    )


def _not_written(folder: Path, why: str) -> BundleError:
    return BundleError(
        "the bundle cannot be written",
        where=str(folder),
        why=why,
        hint="free some space or choose another folder with --outputs",
    )


def publish(
    folder: Path,
    files: list[BundleFile],
    manifest: bytes,
    proof: bytes,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write the bundle beside `folder` and put it in its place.

    Files are copied, never linked: what a user edits in a bundle must not reach the store. `check`
    is given the bundle before anybody sees it, and raises where it must not be published. Raises
    BundleError when the folder cannot be written or must not be replaced, or a file changed on the
    way.
    """
    stage = folder.parent / f".{folder.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        stage.mkdir(parents=True)
        for file in files:
            _write(file, stage / file.path)
        for name, content in _said(manifest, proof).items():
            (stage / name).write_bytes(content)
        if check:
            check(stage)
        with wait_lock(folder.parent / f".{folder.name}.lock"):
            _replace(stage, folder)
    except OSError as error:
        raise _not_written(folder, f"{type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _said(manifest: bytes, proof: bytes) -> dict[str, bytes]:
    """Return what a bundle says of itself, by the names of the files."""
    return {MANIFEST: manifest, PROOF: proof, SEAL: seal_of(proof)}


def _write(file: BundleFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for piece in _pieces(file):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file.sha256:
        raise DamagedSource(
            f"{file.path} changed on its way into the bundle",
            where=str(file.source),
            why="its bytes are not those that were recorded when its step ran",
            hint="build again: it was set aside, and is made anew",
        )


def _pieces(file: BundleFile) -> Iterator[bytes]:
    if file.content is not None:
        yield file.content
        return
    assert file.source is not None
    with file.source.open("rb") as source:
        while piece := source.read(PIECE):
            yield piece


def _replace(stage: Path, folder: Path) -> None:
    require_replaceable(folder)
    if not folder.exists():
        stage.rename(folder)
        return
    old = stage.with_name(f"{stage.name}-old")
    folder.rename(old)
    try:
        stage.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed builds left beside `folder`."""
    left = re.compile(re.escape(f".{folder.name}-") + r"([0-9]{1,9})-[0-9a-f]{8}(-old)?")
    for path in folder.parent.glob(f".{folder.name}-*"):
        found = left.fullmatch(path.name)
        if found and not _alive(int(found[1])):
            _remove(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
