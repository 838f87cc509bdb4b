"""Walk a protobuf file by its fields without reading what is large.

The wire format: https://protobuf.dev/programming-guides/encoding. A field that holds bytes is
given by its place in the file; nothing of it is read until it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_LONGEST_TEXT = 1 << 20


class DamagedFile(Exception):
    """The bytes are not protobuf, or end before they should; the text says where."""


@dataclass(frozen=True)
class Message:
    """The bytes from `start` to `end` of a file, to be read as a message or as a text."""

    stream: BinaryIO
    start: int
    end: int

    def fields(self) -> Iterator[tuple[int, int | Message]]:
        """Yield each field's number with its value: a whole number, or the bytes it holds.

        Numbers of a fixed size are bytes too: they may be fractions.

        Raises DamagedFile where a field is cut off or of a kind that does not exist.
        """
        position = self.start
        while position < self.end:
            key, position = self._varint(position)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, position = self._varint(position)
                yield number, value
            elif kind in _FIXED:
                inner = Message(self.stream, position, self._ends(position + _FIXED[kind], number))
                position = inner.end
                yield number, inner
            elif kind == BYTES:
                length, position = self._varint(position)
                inner = Message(self.stream, position, self._ends(position + length, number))
                position = inner.end
                yield number, inner
            else:
                raise DamagedFile(f"byte {position} begins no field of a protobuf file")

    def numbers(self) -> Iterator[int]:
        """Yield the whole numbers that are packed into the bytes."""
        position = self.start
        while position < self.end:
            value, position = self._varint(position)
            yield value

    def text(self) -> str:
        """Return the bytes as UTF-8. Raises DamagedFile where they are none, or absurdly long."""
        try:
            return self.content().decode("utf-8")
        except UnicodeDecodeError:
            raise DamagedFile(f"the text at byte {self.start} is not UTF-8") from None

    def content(self) -> bytes:
        """Return the bytes. Raises DamagedFile where they are cut off, or absurdly many."""
        if self.end - self.start > _LONGEST_TEXT:
            raise DamagedFile(f"a name of {self.end - self.start} bytes at byte {self.start}")
        self.stream.seek(self.start)
        content = self.stream.read(self.end - self.start)
        if len(content) != self.end - self.start:
            raise DamagedFile(f"it ends at byte {self.start + len(content)}, within a text")
        return content

    def _varint(self, position: int) -> tuple[int, int]:
        value = 0
        self.stream.seek(position)
        content = self.stream.read(min(_LONGEST_VARINT, self.end - position))
        for index, byte in enumerate(content):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value, position + index + 1
        raise DamagedFile(f"byte {position} begins no whole number; the file is cut off or damaged")

    def _ends(self, end: int, number: int) -> int:
        if end > self.end:
            raise DamagedFile(f"field {number} goes on to byte {end}, its place ends at {self.end}")
        return end


def signed(value: int) -> int:
    """Return a varint as the signed 64-bit number that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
