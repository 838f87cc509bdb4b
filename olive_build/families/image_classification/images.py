"""Images and labels in an .npz file, held against what a model takes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.families.image_classification.spec import ImageClassificationFacts

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
HINT = (
    "save it with numpy.savez_compressed(file, images=images, labels=labels): uint8 images "
    "[images, height, width, channels], and the number of each one's class"
)


def read_images(path: Path, facts: ImageClassificationFacts, *, what: str) -> Images:
    """Return `images` uint8 [images, height, width, channels] of an .npz file.

    `what` names the data in messages. Raises StepError when they are not the model's.
    """
    images = _array(path, "images", what)
    if images.dtype != np.uint8:
        raise _bad(path, f"the images are {images.dtype}; bytes (uint8) are expected", what)
    size = (facts.height, facts.width, facts.channels)
    if images.ndim != 4 or images.shape[1:] != size:
        shape = ", ".join(map(str, ("images", *size)))
        why = f"the images are {list(images.shape)}, and the model takes [{shape}]"
        raise _bad(path, why, what)
    if not len(images):
        raise _bad(path, "it holds no image", what)
    return images


def read_labelled(
    path: Path, facts: ImageClassificationFacts, *, what: str
) -> tuple[Images, Labels]:
    """Return the images, and the class of each [images] as its number in the model.

    Raises StepError when one is not the model's.
    """
    images, labels = read_images(path, facts, what=what), _array(path, "labels", what)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        why = f"the labels are {labels.dtype} {list(labels.shape)}; "
        raise _bad(path, f"{why}whole numbers [{len(images)}], one an image, are expected", what)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(facts.labels)))
    if len(wrong):
        first, classes = int(wrong[0]), len(facts.labels)
        why = f"the label of image {first} is {labels[first]}, and the model has {classes} classes"
        raise _bad(path, f"{why}, numbered from 0", what)
    return images, labels.astype(np.int64)


def _array(path: Path, name: str, what: str) -> npt.NDArray[Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it is one array, no .npz file")
        with loaded as file:
            if name not in file.files:
                there = ", ".join(file.files) or "nothing"
                raise _bad(path, f"it has no array '{name}', but {there}", what)
            found: npt.NDArray[Any] = file[name]
            return found
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StepError(
            f"{what} cannot be read", where=str(path), why=str(error), hint=HINT
        ) from error


def _bad(path: Path, why: str, what: str) -> StepError:
    return StepError(f"{what} does not fit the model", where=str(path), why=why, hint=HINT)
