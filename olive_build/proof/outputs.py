"""Outputs of a file for a proof's samples, stored so that other files are compared with them.

outputs.npz    `single` and `batched`, float [samples, values], of files that give numbers
outputs.json   `texts` and `cases` of files that transcribe; `texts` and `is_half` of files that
               write, whose arrays in outputs.npz are those of a reference's predictions
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.proof.predictions import Predictions
from olive_build.proof.quality import Outputs, run_reference
from olive_build.proof.reference import Reference
from olive_build.proof.references.generation import (
    GenerationReference,
    restored_predictions,
    stored_predictions,
)
from olive_build.proof.transcription import Transcripts

ARRAYS, TEXTS = "outputs.npz", "outputs.json"


def write_outputs(outputs: Outputs, folder: Path) -> None:
    """Write the outputs below `folder`; the same outputs give the same bytes."""
    if isinstance(outputs.single, Transcripts):
        stored = {"texts": outputs.single.texts, "cases": outputs.single.cases}
        text = json.dumps(stored, indent=1, ensure_ascii=False)
        (folder / TEXTS).write_text(text + "\n", encoding="utf-8")
        return
    arrays: dict[str, Any] = {"single": outputs.single, "batched": outputs.batched}
    if isinstance(outputs.single, Predictions):
        facts = {"texts": outputs.single.texts, "is_half": outputs.single.is_half}
        (folder / TEXTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
        arrays = stored_predictions(outputs.single)
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


def read_outputs(folder: Path) -> Outputs:
    """Return what `write_outputs` stored."""
    if (folder / TEXTS).is_file():
        stored = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        if "is_half" in stored:
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                return Outputs(restored_predictions(arrays, **stored), None)
        cases = tuple(None if texts is None else tuple(texts) for texts in stored["cases"])
        return Outputs(Transcripts(tuple(stored["texts"]), cases), None)
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        return Outputs(arrays["single"], arrays["batched"])
