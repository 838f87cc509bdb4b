"""What native libraries print, kept back at the level of file descriptors."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

TAIL_BYTES = 4000


@contextmanager
def captured() -> Iterator[None]:
    """Keep back what is printed inside, native code included; print its end when that raises.

    The gradient builder writes hundreds of lines about graphs that it builds without a fault.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(saved, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            if failed:
                os.write(2, _end(stream.fileno()))


def _end(descriptor: int) -> bytes:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    os.lseek(descriptor, max(0, size - TAIL_BYTES), os.SEEK_SET)
    return os.read(descriptor, TAIL_BYTES)
