"""What is said in a recording, letter by letter: connectionist temporal classification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.shown_clips import (
    letters_code,
    letters_file,
    letters_shown,
)
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._clips import ClipTask


class Ctc(ClipTask):
    """Answers are the likeliest token of each moment, runs of one once, without blanks."""

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().shown(folder, config), **letters_shown(folder)}

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return {**super().code(shown, takes, most), "letters": letters_code(shown)}

    def written(self, shown: Mapping[str, Any]) -> dict[str, bytes]:
        return letters_file(shown)

    def ask(self, library: Any, sample: Any) -> Any:
        return library.pipeline({"raw": sample, "sampling_rate": library.rate})

    def known(self, library: Any) -> dict[str, Any]:
        return {"blank": library.tokenizer.pad_token_id}

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        tokens = outputs["logits"][0].argmax(-1).tolist()
        runs = [token for at, token in enumerate(tokens) if at == 0 or token != tokens[at - 1]]
        return [token for token in runs if token != known["blank"]]

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return 1 less the edits that make one answer the other, over the expected's length."""
        if not expected:
            return float(not found)
        return max(0.0, 1 - _edits(found, expected) / len(expected))


def _edits(one: list[int], other: list[int]) -> int:
    row = list(range(len(other) + 1))
    for at, left in enumerate(one, 1):
        before, row[0] = row[0], at
        for place, right in enumerate(other, 1):
            before, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, before + (left != right)),
            )
    return row[-1]


SIDE = Side(
    Ctc(
        name="ctc",
        description="Speech recognizers that spell, as transformers' AutoModelForCTC loads",
        pipeline="automatic-speech-recognition",
        classes=("ForCTC",),
        auto="AutoModelForCTC",
        outputs=("logits",),
    )
)
