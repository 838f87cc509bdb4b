"""What safetensors files hold, read from their headers: no weights, no torch. Light.

The format: eight bytes with the header's length, the header as JSON, then all tensors' bytes
(https://huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from olive_build.errors import PlanError, first_line
from olive_build.untrusted import parse_json

LENGTH_BYTES = 8
# The library's own limit of a header.
LONGEST_HEADER = 100_000_000
METADATA = "__metadata__"
PIECE = 1 << 20
# Output channels, input channels, height, width.
KERNEL_AXES = 4
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Stored:
    """A tensor of a file: its type as safetensors calls it, its shape, and where its bytes are."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def values(self) -> int:
        """How many numbers it has."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def tensors_of(paths: Iterable[Path]) -> dict[str, Stored]:
    """Return the tensors of safetensors files by name.

    Raises PlanError for a file that is none, or that is shorter than its header says.
    """
    return {name: stored for path in paths for name, stored in _tensors(path).items()}


def in_convolutions(folder: Path) -> float:
    """Return the share of a folder's weights that are kernels over images, of four axes.

    Weights are counted, not their values: a depthwise kernel is small beside the matrices round it.
    """
    tensors = tensors_of(sorted(folder.glob("*.safetensors"))).values()
    axes = [len(item.shape) for item in tensors if len(item.shape) > 1]
    return axes.count(KERNEL_AXES) / max(1, len(axes))


def _tensors(path: Path) -> dict[str, Stored]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if length > min(size - LENGTH_BYTES, LONGEST_HEADER):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = parse_json(file.read(length))
        start = LENGTH_BYTES + length
        found = {
            str(name): _stored(path, entry, start)
            for name, entry in header.items()
            if name != METADATA
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _unreadable(path, first_line(error)) from error
    if any(not start <= item.begin <= item.end <= size for item in found.values()):
        raise _unreadable(path, f"it has {size} bytes, and its header tells of more")
    return found


def _stored(path: Path, entry: Mapping[str, object], start: int) -> Stored:
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise ValueError("a tensor of its header has no shape or no place")
    begin, end = (start + int(offset) for offset in offsets)
    return Stored(path, str(entry["dtype"]), tuple(map(int, shape)), begin, end)


def is_same(one: Stored, other: Stored) -> bool:
    """Whether two tensors have one type, one shape and the same bytes."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return all(mine == its for mine, its in zip_longest(_pieces(one), _pieces(other)))


def _pieces(stored: Stored) -> Iterable[bytes]:
    with stored.path.open("rb") as file:
        file.seek(stored.begin)
        left = stored.end - stored.begin
        while left > 0 and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece


def _unreadable(path: Path, why: str) -> PlanError:
    if _is_pointer(path):
        return PlanError(
            f"{path.name} is a pointer of Git LFS, and no weights",
            where=str(path),
            why="the repository was cloned without its large files",
            hint="run `git lfs pull` in it",
        )
    return PlanError(
        f"cannot read {path.name}",
        where=str(path),
        why=f"it is no whole safetensors file: {why}",
        hint="copy or download it again",
    )


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
