"""What a file gave for a proof's samples, stored, so that others are compared with it.

outputs.npz    `single` and `batched`, float [samples, values], of files that give numbers
outputs.json   `texts` and `cases` of files that transcribe
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from olive_build.proof.quality import Outputs
from olive_build.proof.transcription import Transcripts

ARRAYS, TEXTS = "outputs.npz", "outputs.json"


def write_outputs(outputs: Outputs, folder: Path) -> None:
    """Write the outputs below `folder`; the same outputs give the same bytes."""
    if isinstance(outputs.single, Transcripts):
        stored = {"texts": outputs.single.texts, "cases": outputs.single.cases}
        text = json.dumps(stored, indent=1, ensure_ascii=False)
        (folder / TEXTS).write_text(text + "\n", encoding="utf-8")
        return
    with (folder / ARRAYS).open("wb") as file:
        arrays: dict[str, Any] = {"single": outputs.single, "batched": outputs.batched}
        np.savez(file, **arrays)


def read_outputs(folder: Path) -> Outputs:
    """Return what `write_outputs` stored."""
    if (folder / TEXTS).is_file():
        stored = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        cases = tuple(None if texts is None else tuple(texts) for texts in stored["cases"])
        return Outputs(Transcripts(tuple(stored["texts"]), cases), None)
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        return Outputs(arrays["single"], arrays["batched"])
