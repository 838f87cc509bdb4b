"""Read files that a stranger may have made: plain files alone, of a size that is known first.

A pipe is waited for without end, a device has none, and a link leads anywhere. So a file is looked
at, then opened without waiting and without following a link, and looked at again.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

# Missing on Windows, where there are neither pipes nor devices among files.
_CAREFULLY = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class NotPlainFile(OSError):
    """What lies there is not to be read; the text says what it is."""


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading. Raises NotPlainFile for a link or what is no file, and OSError."""
    _require_plain(path.lstat())  # before it is opened: opening is enough to make a device act
    descriptor = os.open(path, os.O_RDONLY | _CAREFULLY)
    try:
        _require_plain(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, most: int) -> bytes:
    """Return a file's bytes. Raises NotPlainFile as above and above `most` bytes, and OSError."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise NotPlainFile(f"it has {size} bytes; a file of its kind has at most {most}")
        return file.read(most)


def plain_below(folder: Path, name: str) -> Path:
    """Return the path of a file below a folder by its name, `/` between the parts.

    Raises NotPlainFile where the name leads out of the folder, a part of it is a link, or what it
    names is no file; OSError where there is nothing.
    """
    path = folder
    for part in name.split("/"):
        if part in ("", ".", "..") or set(part) & set("\\:\0"):
            raise NotPlainFile("its name leaves the folder")
        path = path / part
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise NotPlainFile("it is a link, or lies behind one")
    _require_plain(status)
    return path


def strange_below(folder: Path) -> list[str]:
    """Return what lies below a folder and is neither a folder nor a plain file, as `name: what`."""
    found = []
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                found.append(f"{path.relative_to(folder).as_posix()}: it is {_kind(mode)}")
    return sorted(found)


def _require_plain(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotPlainFile(f"it is {_kind(status.st_mode)}, not a plain file")


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
