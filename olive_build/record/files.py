"""The files of a bundle, compared with its manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from olive_build.record.manifest import File
from olive_build.untrusted import Unreadable, open_plain, plain_below

_PIECE = 1 << 20


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
