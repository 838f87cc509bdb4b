"""Reference inputs with PyTorch's outputs, stored with every bundle for `verify`.

reference.json   texts, pooling, normalization
reference.npz    token_ids [all tokens], lengths [texts], embeddings [texts, dimensions]
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olive_build.errors import BundleError

TEXTS = "reference.json"
ARRAYS = "reference.npz"


@dataclass(frozen=True)
class EmbeddingReference:
    """Texts, their token ids, and PyTorch's embeddings [texts, dimensions]."""

    texts: tuple[str, ...]
    token_ids: tuple[npt.NDArray[np.int64], ...]
    embeddings: npt.NDArray[np.float32]
    pooling: str
    normalize: bool


def write_reference(reference: EmbeddingReference, out: Path) -> None:
    """Write both files below `out`; the same reference gives the same bytes."""
    described = {
        "pooling": reference.pooling,
        "normalize": reference.normalize,
        "texts": list(reference.texts),
    }
    text = json.dumps(described, indent=1, ensure_ascii=False)
    (out / TEXTS).write_text(text + "\n", encoding="utf-8")
    with (out / ARRAYS).open("wb") as file:
        np.savez(
            file,
            token_ids=np.concatenate(reference.token_ids),
            lengths=np.array([len(ids) for ids in reference.token_ids], np.int64),
            embeddings=reference.embeddings,
        )


def read_reference(folder: Path) -> EmbeddingReference:
    """Return the reference below `folder`. Raises BundleError when it is missing or damaged."""
    try:
        described = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            lengths, flat = arrays["lengths"], arrays["token_ids"]
            embeddings = arrays["embeddings"]
        ids = np.split(flat, np.cumsum(lengths)[:-1])
        if not len(described["texts"]) == len(ids) == len(embeddings):
            raise ValueError("texts, token ids and embeddings differ in number")
        return EmbeddingReference(
            tuple(described["texts"]),
            tuple(ids),
            embeddings.astype(np.float32),
            str(described["pooling"]),
            bool(described["normalize"]),
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BundleError(
            "the stored references cannot be read",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            hint="build the bundle again",
        ) from error
