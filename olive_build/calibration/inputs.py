"""Calibration inputs in a file, one sample at a time: memory does not grow with their number.

calibration.npz    `00000/input_ids`, `00000/attention_mask`, `00001/input_ids`, ...
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
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
