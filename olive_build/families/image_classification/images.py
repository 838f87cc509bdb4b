"""Images and labels in an .npz file, held against what a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olive_build.errors import StepError
from olive_build.families.image_classification.spec import ImageClassificationFacts
from olive_build.proof.pictures import IMAGES, SHAPES, Pictures
from olive_build.untrusted import followed, read_npz

LABELS = "labels"
Labels = npt.NDArray[np.int64]
HINT = (
    "save it with numpy.savez_compressed(file, images=images, labels=labels): uint8 images "
    "[images, height, width, channels], and the number of each one's class; of several sizes, "
    "images of all bytes in one row and shapes=[[height, width, channels], ...]"
)


def read_images(path: Path, facts: ImageClassificationFacts, *, what: str) -> Pictures:
    """Return the pictures of an .npz file, of the sizes that the model's processor takes.

    They are `images` uint8 [images, height, width, channels], or bytes one after the other with
    `shapes` [images, 3]. `what` names the data in messages. Raises StepError when they are not the
    model's.
    """
    arrays = _arrays(path, what)
    if IMAGES not in arrays:
        raise _lacks(path, IMAGES, arrays, what)
    try:
        pictures = Pictures.restored(arrays)
    except (ValueError, TypeError) as error:
        raise _bad(path, str(error), what) from error
    height, width, channels = facts.height, facts.width, facts.channels
    is_other = pictures.shapes[:, 2] != channels
    if not facts.prepared.steps:
        is_other |= (pictures.shapes[:, :2] != (height, width)).any(axis=1)
    if is_other.any():
        row = int(np.flatnonzero(is_other)[0])
        size = "height, width" if facts.prepared.steps else f"{height}, {width}"
        why = f"image {row} is {pictures.shapes[row].tolist()}, and the model takes "
        raise _bad(path, f"{why}[{size}, {channels}]", what)
    return pictures


def read_labelled(
    path: Path, facts: ImageClassificationFacts, *, what: str
) -> tuple[Pictures, Labels]:
    """Return the images, and the class of each [images] as its number in the model.

    Raises StepError when one is not the model's.
    """
    images, arrays = read_images(path, facts, what=what), _arrays(path, what)
    if LABELS not in arrays:
        raise _lacks(path, LABELS, arrays, what)
    labels = arrays[LABELS]
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        why = f"the labels are {labels.dtype} {list(labels.shape)}; "
        raise _bad(path, f"{why}whole numbers [{len(images)}], one an image, are expected", what)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(facts.labels)))
    if len(wrong):
        first, classes = int(wrong[0]), len(facts.labels)
        why = f"the label of image {first} is {labels[first]}, and the model has {classes} classes"
        raise _bad(path, f"{why}, numbered from 0", what)
    return images, labels.astype(np.int64)


def _arrays(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file that are read here."""
    try:
        known = (IMAGES, SHAPES, LABELS)
        arrays = read_npz(followed(path))
        return {name: value for name, value in arrays.items() if name in known}
    except OSError as error:
        raise StepError(
            f"{what} cannot be read", where=str(path), why=str(error), hint=HINT
        ) from error


def _lacks(path: Path, name: str, arrays: Mapping[str, Any], what: str) -> StepError:
    return _bad(path, f"it has no array '{name}', but {', '.join(arrays) or 'nothing'}", what)


def _bad(path: Path, why: str, what: str) -> StepError:
    return StepError(f"{what} does not fit the model", where=str(path), why=why, hint=HINT)
