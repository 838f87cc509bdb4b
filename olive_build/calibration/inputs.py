"""Calibration inputs in a file, one sample at a time: memory does not grow with their number.

calibration.npz    `00000/input_ids`, `00000/attention_mask`, `00001/input_ids`, ...
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError, first_line

CALIBRATION = "calibration.npz"
# The oldest time that a zip entry can have; a real one would change the bytes with every run.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

Feeds = dict[str, npt.NDArray[Any]]


def write_inputs(feeds: Iterable[Mapping[str, npt.NDArray[Any]]], path: Path) -> int:
    """Write samples, each a map from graph input to an array with a batch axis of 1.

    Returns how many there were. The same samples give the same bytes. Raises StepError for none.
    """
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for feed in feeds:
            for name, value in sorted(feed.items()):
                buffer = io.BytesIO()
                np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)
                entry = zipfile.ZipInfo(f"{count:05d}/{name}.npy", _NO_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, buffer.getvalue())
            count += 1
    if not count:
        raise StepError(
            "there are no calibration inputs",
            where=path.name,
            why="the calibration data has no sample",
            hint="give at least 32 samples that look like what the model will be given",
        )
    return count


def fitted(
    feeds: Iterable[Mapping[str, npt.NDArray[Any]]], sizes: Sequence[int]
) -> Iterator[Feeds]:
    """Yield the samples with their first axes of these sizes, as a graph of fixed shapes takes.

    Batches are filled by repeating the sample; later axes are padded with zeros or cut.
    """
    for feed in feeds:
        yield {name: _fitted(value, sizes) for name, value in feed.items()}


def padded_batches(feeds: Iterable[Mapping[str, npt.NDArray[Any]]], count: int) -> Iterator[Feeds]:
    """Yield batches of up to `count` samples; what is shorter is padded with zeros at its end."""
    group: list[Mapping[str, npt.NDArray[Any]]] = []
    for feed in feeds:
        group.append(feed)
        if len(group) == count:
            yield _batch(group)
            group = []
    if group:
        yield _batch(group)


def _batch(group: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Feeds:
    return {name: np.concatenate(_alike([feed[name] for feed in group])) for name in group[0]}


def _alike(values: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    longest = np.max([value.shape[1:] for value in values], axis=0) if values[0].ndim > 1 else ()
    return [
        np.pad(
            value, [(0, 0), *((0, to - n) for n, to in zip(value.shape[1:], longest, strict=True))]
        )
        for value in values
    ]


def _fitted(value: npt.NDArray[Any], sizes: Sequence[int]) -> npt.NDArray[Any]:
    for axis, size in enumerate(sizes[1:], 1):
        cut = value.take(range(min(size, value.shape[axis])), axis)
        after = [(0, size - cut.shape[axis] if i == axis else 0) for i in range(cut.ndim)]
        value = np.pad(cut, after)
    return np.repeat(value, sizes[0], 0) if sizes else value


def read_inputs(path: Path) -> Iterator[Feeds]:
    """Yield the samples in order, reading each when it is asked for.

    Raises StepError when the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            samples: dict[str, list[str]] = {}
            for key in arrays.files:
                samples.setdefault(key.partition("/")[0], []).append(key)
            for _, keys in sorted(samples.items()):
                yield {key.partition("/")[2]: arrays[key] for key in keys}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StepError(
            "the calibration inputs cannot be read", where=str(path), why=first_line(error)
        ) from error


def count_inputs(path: Path) -> int:
    """Return how many samples the file holds."""
    with np.load(path, allow_pickle=False) as arrays:
        return len({key.partition("/")[0] for key in arrays.files})
