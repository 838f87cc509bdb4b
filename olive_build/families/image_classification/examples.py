"""Images that a model learns from, of the model's own size. numpy alone.

    DATA/<class>/*         an image a file: .npy (uint8 [height, width, channels]), .pgm or .ppm
    DATA/labels.csv        or a table of `file,label`
    DATA/*.npz             or arrays: `images` uint8 [images, height, width, channels] and `labels`,
                           a class's number or name each; DATA may be such a file itself

Images are not resized: how that is done changes what a model sees, and an application has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import UsageError
from olive_build.families.labelled_data import (
    CLASS_LOSS,
    Kind,
    Labelled,
    LabelledExamples,
    find_files,
    require_data,
)
from olive_build.families.labelled_targets import targets_of
from olive_build.proof.pixels import Pixels
from olive_build.untrusted import MOST_ARRAY_BYTES, followed, read_bytes, read_npy, read_npz

Image = npt.NDArray[np.uint8]
# The binary forms of Netpbm: a magic number, width, height and the largest value, then bytes.
NETPBM = re.compile(rb"(P[56])\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+(\d+)\s")
NETPBM_CHANNELS = {b"P5": 1, b"P6": 3}
SAVE = "save the image by numpy.save(file, image), uint8 [height, width, channels]"


def read_examples(
    data: Path, described: Mapping[str, Any], bundle: Path, labels: Sequence[str], loss: str
) -> LabelledExamples:
    """Return the images at `data` as pixels [examples, channels, height, width], with targets.

    Raises UsageError for what cannot be learned from.
    """
    found = list(_found(data, described, labels, loss))
    targets = targets_of(found, labels, loss, data)
    pixels = Pixels.restored(described).prepare(np.stack([example.content for example in found]))
    return LabelledExamples({"pixel_values": pixels}, targets, tuple(x.where for x in found))


def _found(
    data: Path, described: Mapping[str, Any], labels: Sequence[str], loss: str
) -> Iterator[Labelled[Image]]:
    require_data(data)
    archives = sorted(data.glob("[!.]*.npz")) if data.is_dir() else [data]
    for path in archives:
        yield from _of_archive(path, described, labels, loss)
    if not archives:
        kind = Kind("images", (".npy", ".pgm", ".ppm"), _command(described))
        for example in find_files(data, kind, loss):
            image = _of_size(_read(example.content, described), described, str(example.content))
            yield Labelled(example.where, example.label, image)


def _command(described: Mapping[str, Any]) -> str:
    """Return what makes an image of the model's size and form of any other."""
    size = f"{described['width']}:{described['height']}"
    grey = described["channels"] == 1
    form = "gray" if grey else "rgb24"
    end = "pgm" if grey else "ppm"
    return f"convert it: ffmpeg -i FILE -vf scale={size} -pix_fmt {form} FILE.{end}"


def _of_size(image: npt.NDArray[Any], described: Mapping[str, Any], where: str) -> Image:
    """Return an image [height, width, channels]. Raises UsageError where it is not the model's."""
    size = tuple(int(described[name]) for name in ("height", "width", "channels"))
    if image.dtype != np.uint8:
        raise UsageError(
            "an image does not hold bytes",
            where=where,
            why=f"its numbers are {image.dtype}, not uint8",
            hint="save it as numbers from 0 to 255: image.astype(numpy.uint8), of numbers from 0 "
            "to 1 (image * 255).round().astype(numpy.uint8)",
        )
    grey = image[..., None] if image.ndim == 2 else image
    if grey.shape != size:
        raise UsageError(
            f"an image is {_size(grey.shape)}, and the model takes {_size(size)}",
            where=where,
            why="images are not resized here",
            hint=_command(described),
        )
    return grey


def _size(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return f"an array {list(shape)}"
    height, width, channels = shape
    return f"{width} x {height} with {channels} channel{'' if channels == 1 else 's'}"


def _read(path: Path, described: Mapping[str, Any]) -> npt.NDArray[Any]:
    array = path.suffix.lower() == ".npy"
    try:
        return read_npy(followed(path)) if array else _netpbm(path)
    except (OSError, ValueError) as error:
        raise UsageError(
            "an image cannot be read",
            where=str(path),
            why=str(error),
            hint=f"{SAVE if array else _command(described)}, or take the file away",
        ) from error


def _netpbm(path: Path) -> Image:
    """Return a .pgm or .ppm file's image, uint8 [height, width, channels]."""
    data = read_bytes(followed(path), MOST_ARRAY_BYTES)
    header = NETPBM.match(data)
    if header is None:
        raise ValueError("it begins neither with P5 nor with P6, as binary .pgm and .ppm do")
    width, height, largest = (int(number) for number in header.groups()[1:])
    if largest != 255:
        raise ValueError(f"its largest value is {largest}; 255 is expected")
    shape = (height, width, NETPBM_CHANNELS[header.group(1)])
    there = len(data) - header.end()
    if there < np.prod(shape):
        raise ValueError(f"it holds {there} of {np.prod(shape)} bytes")
    return np.frombuffer(data, np.uint8, int(np.prod(shape)), header.end()).reshape(shape)


def _of_archive(
    path: Path, described: Mapping[str, Any], labels: Sequence[str], loss: str
) -> Iterator[Labelled[Image]]:
    images, written = _arrays(path)
    if not len(images):
        raise UsageError("the file of images is empty", where=str(path))
    if len(images) != len(written):
        raise UsageError(
            "the file has not one label an image",
            where=str(path),
            why=f"`images` are {len(images)}, `labels` {len(written)}",
        )
    for row, (image, label) in enumerate(zip(images, written, strict=True)):
        where = f"{path}, image {row}"
        yield Labelled(where, _label(label, labels, loss, where), _of_size(image, described, where))


def _arrays(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    hint = "save it with numpy.savez_compressed(file, images=images, labels=labels)"
    try:
        loaded = read_npz(followed(path))
        return np.atleast_1d(loaded["images"]), np.atleast_1d(loaded["labels"])
    except KeyError as error:
        raise UsageError(
            "the file has not both arrays", where=str(path), why=str(error.args[0]), hint=hint
        ) from error
    except OSError as error:
        raise UsageError(
            "the file of images cannot be read", where=str(path), why=str(error), hint=hint
        ) from error


def _label(written: npt.NDArray[Any], labels: Sequence[str], loss: str, where: str) -> str:
    """Return a label as tables have it: a class's name, or numbers with blanks in between."""
    if loss == CLASS_LOSS and np.issubdtype(written.dtype, np.integer):
        if not 0 <= int(written) < len(labels):
            raise UsageError(
                f"the bundle has no class {written}",
                where=where,
                why=f"its {len(labels)} classes are numbered from 0",
            )
        return labels[int(written)]
    return " ".join(map(str, np.atleast_1d(written)))
