"""What each token of a text is: names of people and places, parts of speech."""

from __future__ import annotations

from typing import Any

from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._labels import label_names
from olive_build.tasks._texts import TextTask

# What the pipeline leaves out of its answers.
IGNORED = "O"
SPECIAL = "special_tokens_mask"


class TokenClassification(TextTask):
    """Answers are the label of each token that is no special one, but for those of `O`."""

    def ask(self, library: Any, sample: Any) -> Any:
        return library.pipeline(sample, aggregation_strategy="none")

    def known(self, library: Any) -> dict[str, Any]:
        return {"labels": label_names(library)}

    def beside(self, library: Any, sample: Any) -> dict[str, Any]:
        given = library.tokenizer(
            sample, truncation=True, return_special_tokens_mask=True, return_tensors="np"
        )
        return {SPECIAL: given[SPECIAL].astype("int64")}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return {row["index"]: row["entity"] for row in answer}

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        chosen = outputs["logits"][0].argmax(-1)
        named = {
            place: known["labels"][int(label)]
            for place, (label, special) in enumerate(zip(chosen, feeds[SPECIAL][0], strict=True))
            if not special
        }
        return {place: name for place, name in named.items() if name != IGNORED}

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return F1 of tokens that have a label."""
        both = len(found.items() & expected.items())
        return 2 * both / (len(found) + len(expected)) if found or expected else 1.0


SIDE = Side(
    TokenClassification(
        name="token-classification",
        tasks=("token-classification",),
        description="Models that label each token, as AutoModelForTokenClassification loads",
        classes=("ForTokenClassification",),
        auto="AutoModelForTokenClassification",
        truncates=True,
        outputs=("logits",),
    )
)
