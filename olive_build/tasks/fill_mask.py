"""Which words stand where a text has a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._texts import EXAMPLES, TextTask

BEST = 5


class FillMask(TextTask):
    """The middle word of each text is hidden; answers are the five likeliest tokens."""

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return {**super().code(shown, takes, most), "mask": shown["mask_token"] or "[MASK]"}

    def examples(self, library: Any) -> Sequence[Any]:
        return EXAMPLES

    def ask(self, library: Any, sample: Any) -> Any:
        words = sample.split()
        words[len(words) // 2] = library.tokenizer.mask_token
        return library.pipeline(" ".join(words), top_k=BEST)

    def known(self, library: Any) -> dict[str, Any]:
        return {"mask": library.tokenizer.mask_token_id}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return [row["token"] for row in answer]

    def kept(self, outputs: Arrays, feeds: Arrays, known: Known) -> Arrays:
        return {"logits": outputs["logits"][:, feeds["input_ids"][0] == known["mask"]][:, :1]}

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return [int(token) for token in (-outputs["logits"][0, 0]).argsort(kind="stable")[:BEST]]

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return 1 where the likeliest token is the expected one."""
        return float(found[:1] == expected[:1])


SIDE = Side(
    FillMask(
        name="fill-mask",
        tasks=("fill-mask",),
        description="Models that fill in hidden words, as transformers' AutoModelForMaskedLM loads",
        classes=("ForMaskedLM",),
        auto="AutoModelForMaskedLM",
        outputs=("logits",),
    )
)
