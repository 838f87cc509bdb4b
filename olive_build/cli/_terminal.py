"""The one way to the terminal: whatever a name holds, only our own colours and lines move it."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from olive_build.errors import printable

# The colours of report/style.py, and the beginning of a line that is written over.
_OURS = r"(\x1b\[(?:[012]|3[123])m|\r\x1b\[2K)"


class Terminal(io.TextIOWrapper):
    """A standard stream that escapes control characters and what its encoding lacks."""

    reader_gone = False

    def write(self, text: str) -> int:
        with self._noticing():
            super().write(self._harmless(text))
        return len(text)

    def flush(self) -> None:
        with self._noticing():
            super().flush()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Notice that nobody reads any more: head has seen enough, or the terminal was closed."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            Terminal.reader_gone = True
            raise BrokenPipeError(errno.EPIPE, "nobody reads it") from error

    def _harmless(self, text: str) -> str:
        if text.isprintable():
            return text
        if not self.isatty():
            return printable(text, keep="\n\t")
        parts = re.split(_OURS, text)
        return "".join(
            part if number % 2 else printable(part, keep="\n\t")
            for number, part in enumerate(parts)
        )


def take_over() -> None:
    """Put both standard streams behind it; what a service starts without them says nothing."""
    Terminal.reader_gone = False
    for name in ("stdout", "stderr"):
        setattr(sys, name, _harmless(getattr(sys, name)))


def let_go() -> None:
    """Write what is left; it is no error if nobody reads it any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _harmless(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, Terminal) or not hasattr(stream, "buffer"):
        return stream
    stream.flush()
    buffered = getattr(stream, "line_buffering", True)
    return Terminal(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=buffered,
        write_through=getattr(stream, "write_through", False),
    )
