"""A toy task: which class a text of letters is of, as any text classifier of transformers says."""

from __future__ import annotations

from typing import Any

from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._texts import TextTask


class ToyVowels(TextTask):
    """Answers are the number of the likeliest class."""

    def ask(self, library: Any, sample: Any) -> Any:
        return library.pipeline(sample, truncation=True)[0]["label"]

    def known(self, library: Any) -> dict[str, Any]:
        return {"labels": list(library.model.config.id2label.values())}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return known["labels"].index(answer)

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return int(outputs["logits"][0].argmax())


SIDE = Side(
    ToyVowels(
        name="toy-vowels",
        description="Classifiers of texts, as the toy task asks them",
        pipeline="text-classification",
        classes=("ForSequenceClassification",),
        auto="AutoModelForSequenceClassification",
        outputs=("logits",),
    )
)
