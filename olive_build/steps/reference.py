"""Run PyTorch on the proof's data: what every variant of every target is held against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from olive_build.errors import StepError


@dataclass(frozen=True)
class Reference:
    """Write reference.json and reference.npz. Inputs: source (model folder), data (.jsonl file).

    Each line of the data is an object with `text`. Raises StepError naming the line of bad data.
    """

    family: str

    kind: ClassVar[str] = "reference"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "torch"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers", "numpy")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import torch

        from olive_build.families import family_module
        from olive_build.proof.reference import EmbeddingReference, write_reference

        # One thread: the sums are then the same whatever number of cores the machine has.
        torch.set_num_threads(1)
        side = family_module(self.family, "torch_side")
        facts = family_module(self.family, "spec").inspect(inputs["source"])
        texts = read_texts(inputs["data"])
        ids = side.encode(inputs["source"], texts)
        embeddings = side.embed(inputs["source"], ids)
        write_reference(
            EmbeddingReference(
                tuple(texts), tuple(ids), embeddings, facts.pooling, facts.normalize
            ),
            out,
        )


def read_texts(path: Path) -> list[str]:
    """Return the texts of a .jsonl file. Raises StepError with file and line for bad data."""
    texts: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(
            "the proof's data cannot be read", where=str(path), why=str(error)
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            text = error
        if not isinstance(text, str) or not text.strip():
            raise StepError(
                "a line of the proof's data is no text",
                where=f"{path}:{number}",
                why=str(text) or "the text is empty",
                hint='each line is an object like {"text": "A sentence."}',
            )
        texts.append(text)
    if len(texts) < 2:
        raise StepError(
            f"the proof's data holds {len(texts)} texts",
            where=str(path),
            why="rank correlation needs at least two; a verdict needs 200 to mean something",
        )
    return texts
