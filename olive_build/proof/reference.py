"""Reference inputs with PyTorch's outputs, stored with every bundle for `verify`.

A kind of model has a kind of reference: what is stored, how a file is run on it, and how outputs
are compared. All kinds write reference.json, whose `kind` says which file of `references/` it is
of, and reference.npz.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from olive_build import rooms
from olive_build.errors import BundleError
from olive_build.untrusted import open_plain, read_bytes

DESCRIPTION = "reference.json"
ARRAYS = "reference.npz"
# The most that is read: of the description, and of the arrays when they are unpacked.
MOST_TEXT, MOST_VALUES = 1 << 28, 1 << 31
# What json, numpy, zipfile and zlib raise for files that are damaged or made to harm.
DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError),
    *(OverflowError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error),
)

Rows = npt.NDArray[np.int64]


class Reference(Protocol):
    """Stored samples with PyTorch's outputs, how a file runs on them, and how it is compared.

    `metric` says which figures there are, and `samples` names what is counted, such as texts. What
    a model gives is float [samples, values], or has a type of the kind's own with `stored` and
    `restored`, such as Transcripts or Predictions.
    """

    kind: ClassVar[str]
    metric: ClassVar[str]
    samples: ClassVar[str]

    @property
    def count(self) -> int:
        """How many samples of the data there are."""
        ...

    @property
    def expected(self) -> Any:
        """PyTorch's output for each sample, such as [samples, values]; its length counts them."""
        ...

    def batches(self) -> list[Rows]:
        """Return the samples of each batch of eight; each sample is in one of them.

        None at all where files take one sample at a time, or a kind has batches of its own: `run`
        is then given all samples once.
        """
        ...

    def run(self, session: Any, rows: Rows) -> Any:
        """Run a session on these samples, at once where there are batches: [rows, values].

        Raises StepError when the file's output is none of this kind.
        """
        ...

    def compare(self, candidate: Any, expected: Any) -> dict[str, float]:
        """Return the figures of all samples' outputs, such as [samples, values], against others."""
        ...

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what is written: plain data, and arrays."""
        ...

    @staticmethod
    def restored(described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Reference:
        """Return the reference of what was stored. Raises ValueError, KeyError or TypeError."""
        ...


def write_reference(reference: Reference, out: Path) -> None:
    """Write both files below `out`; the same reference gives the same bytes."""
    described, arrays = reference.stored()
    text = json.dumps({"kind": reference.kind, **described}, indent=1, ensure_ascii=False)
    (out / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    with (out / ARRAYS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_reference(folder: Path) -> Reference:
    """Return the reference below `folder`. Raises BundleError when it is missing or damaged."""
    try:
        described = json.loads(read_bytes(folder / DESCRIPTION, MOST_TEXT))
        with open_plain(folder / ARRAYS) as stored:
            _require_size(stored)
            with np.load(stored, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        kind = described["kind"]
        if kind not in rooms.names("proof.references"):
            raise BundleError(
                "the stored references cannot be read",
                where=str(folder),
                why=f"a reference of kind '{kind}' is not known",
                hint="use the program that built the bundle",
            )
        found: type[Reference] = rooms.module("proof.references", kind).REFERENCE
        return found.restored(described, arrays)
    except DAMAGED as error:
        raise BundleError(
            "the stored references cannot be read",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            hint="build the bundle again",
        ) from error


def _require_size(stored: BinaryIO) -> None:
    """Raise ValueError if the arrays would be larger than any reference may be."""
    with zipfile.ZipFile(stored) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > MOST_VALUES:
        raise ValueError(f"{ARRAYS} would have {size} bytes; at most {MOST_VALUES} are read")
    stored.seek(0)
