"""The files of a bundle, compared with its manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from olive_build.errors import BundleError
from olive_build.record.manifest import File, Manifest
from olive_build.record.read import AGAIN, MANIFEST, PROOF, SEAL
from olive_build.untrusted import Unreadable, open_plain, plain_below

_PIECE = 1 << 20


def require_files(manifest: Manifest, folder: Path) -> None:
    """Raise BundleError unless the bundle holds the manifest's files alone, byte by byte."""
    listed = {item.path: item for item in manifest.files}
    named = {path for item in manifest.variants.values() for path in item.files.values()}
    problems = [f"{path}: not listed, but a variant's file" for path in sorted(named - set(listed))]
    found = (file_problem(folder, listed[path]) for path in sorted(listed))
    problems += [problem for problem in found if problem]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    extra = sorted(there - set(listed) - {MANIFEST, PROOF, SEAL})
    problems += [f"{path}: not in the manifest" for path in extra]
    if len(listed) < len(manifest.files):
        problems.append("a file is listed twice")
    if problems:
        raise BundleError(
            "the bundle's files are not those of its manifest",
            where=str(folder),
            why="\n".join(problems),
            hint=AGAIN,
        )


def file_problem(folder: Path, file: File) -> str | None:
    """Return how a file differs from its entry in the manifest; None if it doesn't."""
    try:
        path = plain_below(folder, file.path)
        size = path.stat().st_size
        if size != file.size_bytes:
            return f"{file.path}: has {size} bytes, not {file.size_bytes}"
        return None if _sha256_of(path) == file.sha256 else f"{file.path}: its bytes were changed"
    except Unreadable as error:
        return f"{file.path}: {error}"
    except OSError:
        return f"{file.path}: missing"


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
