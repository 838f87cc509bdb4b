"""Read files that a stranger may have made: bundles, models, data. The only reader of such.

Nothing is read but plain files, of a size that is known first: a pipe is waited for without end, a
device has none, a link leads anywhere. What a file says it holds is looked at before it is unpacked
or believed. Whatever is wrong is one kind of error, `Unreadable`, whose text says why.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

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

# The largest JSON that models have is a tokenizer's, of 35 MB and 2 million values.
MOST_JSON_BYTES = 1 << 26
# Values of a JSON text, by the signs before them; parsed, each takes up to 64 bytes.
MOST_JSON_VALUES = 3_000_000
DEEPEST_JSON = 100
MOST_YAML_VALUES = 100_000
# Integers as long as this are still finite as floats.
MOST_DIGITS = 308
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
MOST_ARRAY_BYTES = 1 << 32
# What an archive may unpack to: more than this only in proportion to its own size.
FREELY_UNPACKED, MOST_RATIO = 1 << 26, 100
# The list of an archive's members, which is read before any of them.
MOST_LISTED_BYTES = 1 << 24
_END, _END_BYTES, _LONGEST_COMMENT = b"PK\x05\x06", 22, 1 << 16
_ENCRYPTED = 1
# Booleans, numbers and texts; nothing that could hold objects.
_ARRAY_KINDS = frozenset("biufSU")


class Unreadable(OSError):
    """What lies there is not to be read; the text says what it is, or what is wrong with it."""


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading. Raises Unreadable for a link or anything else, and OSError."""
    _require_plain(path.lstat())  # before it is opened: opening is enough to make a device act
    descriptor = os.open(path, os.O_RDONLY | _CAREFULLY)
    try:
        _require_plain(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def followed(path: Path) -> Path:
    """Return where the links lead of a path that a user named; one that leads nowhere stays."""
    return Path(os.path.realpath(path))


def read_bytes(path: Path, most: int) -> bytes:
    """Return a file's bytes. Raises Unreadable as above and above `most` bytes, and OSError."""
    with open_plain(path) as file:
        _require_size(os.fstat(file.fileno()).st_size, most)
        return file.read(most)


def read_text(path: Path, most: int) -> str:
    """Return a UTF-8 file's text, one sign for each end of a line. Raises as `read_bytes`."""
    try:
        return io.TextIOWrapper(io.BytesIO(read_bytes(path, most)), "utf-8").read()
    except UnicodeDecodeError as error:
        raise Unreadable(str(error)) from error


def read_json(path: Path, most: int = MOST_JSON_BYTES) -> Any:
    """Return what a JSON file holds. Raises Unreadable as `parse_json` does, and OSError."""
    return parse_json(read_bytes(path, most))


def parse_json(text: bytes | str, most_values: int = MOST_JSON_VALUES) -> Any:
    """Return what a JSON text holds: finite numbers, whole characters, at most 100 levels deep.

    Raises Unreadable where it is no such text, and where it would fill the memory.
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    values = sum(map(content.count, (b",", b"[", b"{")))
    if values > most_values:
        raise Unreadable(f"it has {values} values; at most {most_values} are read")
    try:
        found = json.loads(
            content.decode(),
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
        )
        _require_shallow(found)
        if _SURROGATE.search(content):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise _too_deep() from error
    except UnicodeEncodeError as error:
        raise Unreadable("it has half of a surrogate pair, which is no character") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError too
        raise Unreadable(f"it is no JSON: {error}") from error
    return found


def parse_yaml(text: str, most_values: int = MOST_YAML_VALUES) -> Any:
    """Return what a YAML text holds, as PyYAML reads it safely, its keys and dates as texts.

    Raises Unreadable where it is no YAML or several documents, for tags and aliases, and above
    `most_values` values or 100 levels.
    """
    import yaml

    quick = hasattr(yaml, "CSafeLoader")
    loader = yaml.CSafeLoader if quick else yaml.SafeLoader
    try:
        # Before it is composed, which recurses in C.
        _require_plain_yaml(yaml.parse(text, Loader=loader), most_values)
        found = yaml.load(text, Loader=yaml.CSafeLoader) if quick else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date of month 13
        problem = getattr(error, "problem", None) or error
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise Unreadable(f"it is no YAML: {problem}{place}") from error
    return _like_json(found)


def _require_plain_yaml(events: Iterator[Any], most_values: int) -> None:
    values, depth, documents = 0, 0, 0
    for event in events:
        kind = type(event).__name__
        values += kind in ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent")
        depth += kind.endswith("gStartEvent") or kind == "SequenceStartEvent"
        depth -= kind in ("MappingEndEvent", "SequenceEndEvent")
        documents += kind == "DocumentStartEvent"
        if values > most_values:
            raise Unreadable(f"it has more than {most_values} values")
        if depth > DEEPEST_JSON:
            raise _too_deep()
        if documents > 1:
            raise Unreadable("it holds several documents")
        if kind == "AliasEvent":
            raise Unreadable(f"the alias '*{event.anchor}' is not read: write the value out")
        if getattr(event, "tag", None) not in (None, "!"):
            raise Unreadable(f"the tag '{event.tag}' is not read")


def _like_json(value: Any) -> Any:
    """Return a value as JSON would have it, which has texts as keys and no dates."""
    if isinstance(value, dict):
        return {str(key): _like_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_like_json(inner) for inner in value]
    if isinstance(value, float):
        return _finite(str(value))
    return value if value is None or isinstance(value, (str, int)) else str(value)


class Arrays(dict[str, "Array"]):
    """Arrays by name; one that is not there is named as numpy names it."""

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(f"{name} is not a file in the archive")


def read_npz(path: Path, most: int = MOST_ARRAY_BYTES) -> Arrays:
    """Return the arrays of an .npz file by name: numbers, booleans and texts.

    Raises Unreadable for anything else, above `most` bytes of arrays, and OSError.
    """
    with open_plain(path) as file:
        _require_size(os.fstat(file.fileno()).st_size, most)
        with _as_unreadable():
            _require_short_list(file)
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _require_members(members, os.fstat(file.fileno()).st_size, most)
                return Arrays(
                    (member.filename.removesuffix(".npy"), _member(archive, member))
                    for member in members
                )


def read_npy(path: Path, most: int = MOST_ARRAY_BYTES) -> Array:
    """Return the array of an .npy file. Raises Unreadable as `read_npz` does, and OSError."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        _require_size(size, most)
        with _as_unreadable():
            return _array(file, size)


def plain_below(folder: Path, name: str) -> Path:
    """Return the path of a bundle's file by its name, `/` between the parts.

    Raises Unreadable where the name leads out of the folder, a part of it is a link, or what it
    names is no file; OSError where there is nothing.
    """
    path = folder
    for part in name.split("/"):
        if part in ("", ".", "..") or set(part) & set("\\:\0"):
            raise Unreadable("its name leaves the folder")
        path = path / part
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise Unreadable("it is a link, or lies behind one")
    _require_plain(status)
    return path


def strange_below(folder: Path) -> list[str]:
    """Return what lies below a folder and is neither a folder nor a plain file, as `name: what`."""
    return [
        f"{path.relative_to(folder).as_posix()}: it is {_kind(mode)}"
        for path, mode in _not_plain(folder)
    ]


def linked(path: Path, root: Path) -> Path:
    """Return the plain file that a name of a model's folder `root` leads to.

    A link may lead to a file of the same folder, or of the same repository of the hub's cache,
    whose snapshots are links into `blobs`. Raises Unreadable for what leads elsewhere or is no
    plain file, and OSError where there is nothing.
    """
    real, home = followed(path), followed(root)
    status = real.lstat()
    if not any(real.is_relative_to(place) for place in (home, *_blobs(home))):
        raise Unreadable("it is a link out of the model's folder")
    _require_plain(status)
    return real


def strange_in_model(folder: Path) -> list[str]:
    """Return what a model's folder holds and must not, as `name: what`; see `linked`.

    Names that begin with a dot are no part of a model (.git, .cache).
    """
    found = []
    for path, _ in _not_plain(folder):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            linked(path, folder)
        except OSError as error:
            why = str(error) if isinstance(error, Unreadable) else "it is a link that leads nowhere"
            found.append(f"{path.relative_to(folder).as_posix()}: {why}")
    return found


def _blobs(folder: Path) -> Iterator[Path]:
    """Yield where a snapshot's files are: the hub's cache has models--x/{snapshots/y,blobs}."""
    for place in (folder, *folder.parents):
        if place.parent.name == "snapshots" and place.parents[1].name.startswith("models--"):
            yield place.parents[1] / "blobs"


def _not_plain(folder: Path) -> list[tuple[Path, int]]:
    """Return the paths below a folder with their modes that are no folders and no plain files."""
    found = []
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                found.append((path, mode))
    return sorted(found)


def _require_plain(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"it is {_kind(status.st_mode)}, not a plain file")


def _require_size(size: int, most: int) -> None:
    if size > most:
        raise Unreadable(f"it has {size} bytes; a file of its kind has at most {most}")


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")


def _no_number(written: str) -> NoReturn:
    raise Unreadable(f"{written} is no number of JSON")


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise Unreadable(f"{written[:20]} is larger than any number")
    return number


def _integer(written: str) -> int:
    if len(written) > MOST_DIGITS:
        raise Unreadable(f"a number has {len(written)} digits")
    return int(written)


def _require_shallow(value: object) -> None:
    level, depth = [value] if isinstance(value, (dict, list)) else [], 0
    while level:
        depth += 1
        if depth > DEEPEST_JSON + 1:
            raise _too_deep()
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]


def _too_deep() -> Unreadable:
    return Unreadable(f"it is nested more than {DEEPEST_JSON} levels deep")


class _as_unreadable:  # noqa: N801 (used as a function)
    """Turn whatever damaged archives and headers raise into Unreadable."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            raise Unreadable(str(error) or type(error).__name__) from error


def _require_short_list(file: BinaryIO) -> None:
    """Hold the length of an archive's list of members, from its last record, to the limit."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_BYTES - _LONGEST_COMMENT))
    end = file.read()
    at = end.rfind(_END)
    if at < 0 or len(end) < at + _END_BYTES:
        raise ValueError(
            "it is no .npz file, which is an archive of arrays" if size else "it is empty"
        )
    length: int = struct.unpack_from("<L", end, at + 12)[0]
    _require_size(length, MOST_LISTED_BYTES)
    file.seek(0)


def _require_members(members: list[zipfile.ZipInfo], size: int, most: int) -> None:
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{member.filename!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename!r} is packed in a way that numpy does not use")
    unpacked = sum(member.file_size for member in members)
    _require_size(unpacked, min(most, max(FREELY_UNPACKED, size * MOST_RATIO)))
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two of its arrays have one name")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    try:
        with archive.open(member) as file:
            return _array(file, member.file_size)
    except (zlib.error, EOFError) as error:
        raise ValueError(f"{member.filename!r} is damaged: {error}") from error


def _array(file: IO[bytes], size: int) -> Array:
    """Return the array in an .npy file of `size` bytes, which it must fill."""
    import numpy as np
    from numpy.lib import format as npy

    start = file.read(npy.MAGIC_LEN)
    if start[:-2] != npy.MAGIC_PREFIX:
        raise ValueError(f"it is no .npy file, whatever its name says (it begins with {start!r})")
    version = tuple(start[-2:])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"it is an .npy file of version {version}")
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, kind = reader(file)  # type: ignore[no-untyped-call]
    if kind.hasobject:
        raise ValueError("Object arrays cannot be loaded: a pickle runs code when it is opened")
    if kind.kind not in _ARRAY_KINDS or not kind.itemsize:
        raise ValueError(f"an array of {kind} is not read")
    if min(shape, default=0) < 0:
        raise ValueError(f"an array's shape is {list(shape)}")
    length = math.prod(shape) * kind.itemsize
    if length != size - file.tell():
        raise ValueError(f"an array of shape {list(shape)} and {kind} has other bytes than it says")
    content = bytearray(length)
    view, at = memoryview(content), 0
    while at < length and (count := file.readinto(view[at:])):  # type: ignore[attr-defined]
        at += count
    if at < length or file.read(1):  # the second reading has the archive check its sum
        raise EOFError("it has fewer bytes than it says")
    array = np.ndarray(shape, kind, content, order="F" if is_fortran else "C")
    if kind.kind == "U":
        _require_characters(array)
    return array


def _require_characters(array: Array) -> None:
    """Raise ValueError for texts with invalid characters."""
    import numpy as np

    codes = np.ascontiguousarray(array).reshape(-1).view(f"{array.dtype.byteorder}u4")
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError("a text holds what is no character")
