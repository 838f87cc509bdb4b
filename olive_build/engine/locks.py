"""Locks between processes that the system frees when their holder dies, however it dies."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


class Lock:
    """A held lock on a file; `release` (or the end of the process) frees it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Free the lock; its file stays, as removing it would let two processes hold one name."""
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def try_lock(path: Path) -> Lock | None:
    """Take the lock of that name at once, or return None if another process or caller has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        # Not through a link: the lock would make a file wherever it leads.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o644)
        if not _take(descriptor):
            os.close(descriptor)
            return None
        # A collector may have removed the file between open and lock: then nobody else sees ours.
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return Lock(descriptor)
        except FileNotFoundError:
            pass
        os.close(descriptor)


def wait_lock(path: Path) -> Lock:
    """Take a lock that is only ever held for moments, waiting for it."""
    while True:
        lock = try_lock(path)
        if lock is not None:
            return lock
        time.sleep(0.005)


def _take(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
