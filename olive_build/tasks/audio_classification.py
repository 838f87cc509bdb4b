"""Whose voice, which word or what sound a recording is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks import _scores
from olive_build.tasks._clips import ClipTask
from olive_build.tasks._labels import label_names


class AudioClassification(ClipTask):
    """Answers are the scores of all labels."""

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return {**super().code(shown, takes, most), "scores": _scores.CODE["softmax"]}

    def ask(self, library: Any, sample: Any) -> Any:
        return library.pipeline({"raw": sample, "sampling_rate": library.rate}, top_k=None)

    def known(self, library: Any) -> dict[str, Any]:
        return {"labels": label_names(library)}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return _scores.by_label(answer, known["labels"])

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return _scores.scores_of(outputs["logits"][0].astype("float64"), "softmax")

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return 1 where the first choice is the expected one."""
        return _scores.agreement(found, expected, "softmax")

    def is_same(self, found: Any, expected: Any, known: Known) -> bool:
        return _scores.is_same(found, expected)


SIDE = Side(
    AudioClassification(
        name="audio-classification",
        tasks=("audio-classification",),
        description="Models that classify recordings, as AutoModelForAudioClassification loads; "
        "Wav2Vec2 is trained on a device",
        classes=("ForAudioClassification", "ForSequenceClassification"),
        auto="AutoModelForAudioClassification",
        outputs=("logits",),
        options=("train",),
    )
)
