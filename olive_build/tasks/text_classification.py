"""What a text is about, or how much of something is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks import _scores
from olive_build.tasks._labels import label_names
from olive_build.tasks._texts import TextTask


class TextClassification(TextTask):
    """Answers are the scores of all labels, as the pipeline makes them of the model's logits.

    A line of data may have a `text_pair`, as cross-encoders and rerankers are asked.
    """

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        kind, problem = _scores.kind_in(config), config.get("problem_type")
        theirs = "sigmoid" if problem == _scores.SEVERAL else "softmax"
        return {**super().shown(folder, config), "scores": kind, "client": kind == theirs}

    def template(self, language: str, shown: Mapping[str, Any]) -> str:
        """Return another where transformers.js makes other scores than transformers."""
        other = language == "transformers_js" and not shown["client"]
        return "text-scores" if other else self.name

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        client = "logits.sigmoid().data" if shown["scores"] == "sigmoid" else "logits.data"
        return {
            **super().code(shown, takes, most),
            "scores": _scores.CODE[shown["scores"]],
            "client_scores": client,
        }

    def ask(self, library: Any, sample: Any) -> Any:
        return library.pipeline(sample, top_k=None, truncation=True)

    def known(self, library: Any) -> dict[str, Any]:
        config = library.model.config
        return {"labels": label_names(library), "scores": _scores.kind_of(config)}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return _scores.by_label(answer, known["labels"])

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return _scores.scores_of(outputs["logits"][0].astype("float64"), known["scores"])

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return whether the first choice is the same; of several labels, how many are.

        One number agrees where it differs by a hundredth of its size or less.
        """
        kind = known["scores"] if found.size > 1 else "none"
        return _scores.agreement(found, expected, kind)

    def is_same(self, found: Any, expected: Any, known: Known) -> bool:
        return _scores.is_same(found, expected)


SIDE = Side(
    TextClassification(
        name="text-classification",
        tasks=("text-classification",),
        description="Models that classify or rate texts, as AutoModelForSequenceClassification "
        "loads; small ones of some kinds are trained on a device",
        classes=("ForSequenceClassification",),
        auto="AutoModelForSequenceClassification",
        truncates=True,
        outputs=("logits",),
        options=("train",),
    )
)
