"""Outputs of a file for a proof's samples, stored so that other files are compared with them.

outputs.npz    `single` and `batched`, float [samples, values], of files that give numbers
outputs.json   what else a value is that is `stored` by itself, whose arrays lie in outputs.npz
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.proof.quality import Outputs, run_reference
from olive_build.proof.reference import Reference
from olive_build.proof.references.generation import GenerationReference

ARRAYS, TEXTS = "outputs.npz", "outputs.json"


def write_outputs(outputs: Outputs, folder: Path) -> None:
    """Write the outputs below `folder`; the same outputs give the same bytes."""
    if isinstance(outputs.single, np.ndarray):
        batched = {} if outputs.batched is None else {"batched": outputs.batched}
        arrays: dict[str, Any] = {"single": outputs.single, **batched}
    else:
        described, arrays = outputs.single.stored()
        text = json.dumps(described, indent=1, ensure_ascii=False)
        (folder / TEXTS).write_text(text + "\n", encoding="utf-8")
    with (folder / ARRAYS).open("wb") as file:
        np.savez(file, **arrays)


def of_steps(outputs: Outputs, step: Path, reference: Reference) -> Outputs:
    """Return the outputs of a file that searches by itself with what its graph says of the texts.

    `step` is the graph inside, with a cache; what was written stays the file's own.
    """
    assert isinstance(reference, GenerationReference)
    texts_alone = replace(reference, cases=())
    said = run_reference(step, texts_alone).single
    return replace(outputs, single=replace(outputs.single, nll=said.nll, best=said.best))


def read_outputs(folder: Path, reference: Reference) -> Outputs:
    """Return what `write_outputs` stored of a file that was run on the reference."""
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        if not (folder / TEXTS).is_file():
            return Outputs(arrays["single"], arrays.get("batched"))
        described = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        return Outputs(type(reference.expected).restored(described, arrays), None)
