"""Which of some texts says what a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.shown_pictures import PIXELS
from olive_build.families.transformers.shown_texts import (
    feeds_code,
    fixed_length,
    texts_shown,
    tokenizer_code,
)
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks import _scores
from olive_build.tasks._pictures import PictureTask
from olive_build.values import dataclass

CHOICES = (
    ("a house", "noise", "the sea"),
    ("a red triangle", "a blue square on grey ground, with a shadow to the right of it"),
    ("noise", "a drawing of shapes", "a photo of a city at night", "nothing"),
)
SIGLIP_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class ZeroShot(PictureTask):
    """Each picture is held against some texts; answers are the texts' scores.

    One file takes both, so pictures and texts are batches of their own sizes.
    """

    batches: bool = False

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        found = {**super().shown(folder, config), **texts_shown(folder)}
        return {**found, "scores": _kind(config.get("model_type"))}

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        found = super().code(shown, takes, most)
        texts = {name: axes for name, axes in takes.items() if name != PIXELS}
        # As the pipeline does it: SigLIP was trained with texts that are filled up.
        length = SIGLIP_TOKENS if shown["scores"] == "sigmoid" else None
        length = fixed_length(takes) or length
        return {
            **found,
            "tokenizer": tokenizer_code(shown, length, most, several=True),
            "feeds": feeds_code(texts, several=True),
            "scores": _scores.CODE[shown["scores"]],
        }

    def ask(self, library: Any, sample: Any) -> Any:
        texts = CHOICES[(sample.width + sample.height) % len(CHOICES)]
        rows = library.pipeline(sample, candidate_labels=list(texts))
        scores = {row["label"]: row["score"] for row in rows}
        return [scores[text] for text in texts]

    def known(self, library: Any) -> dict[str, Any]:
        return {"scores": _kind(library.model.config.model_type)}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        import numpy as np

        return np.array(answer)

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return _scores.scores_of(outputs["logits_per_image"][0].astype("float64"), known["scores"])

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return 1 where the first choice is the expected one."""
        return _scores.agreement(found, expected, "softmax")

    def is_same(self, found: Any, expected: Any, known: Known) -> bool:
        return _scores.is_same(found, expected)

    def group(self, records: Sequence[Arrays], pads: Mapping[str, int]) -> dict[str, Any]:
        """Return several pictures with the texts of the first of them."""
        pictures = super().group([{"pixel_values": r["pixel_values"]} for r in records], pads)
        return {**records[0], **pictures}

    def axis(self, name: str, index: int) -> str:
        if name == "pixel_values":
            return super().axis(name, index)
        return ("text_batch_size", "sequence_length")[index]


def _kind(model_type: Any) -> str:
    """Return what makes scores of the logits of a picture and its texts."""
    return "sigmoid" if "siglip" in str(model_type) else "softmax"


SIDE = Side(
    ZeroShot(
        name="zero-shot-image-classification",
        tasks=("zero-shot-image-classification",),
        description="Models that compare pictures with texts, such as CLIP and SigLIP",
        classes=("CLIPModel", "SiglipModel", "AltCLIPModel", "ChineseCLIPModel"),
        auto="AutoModelForZeroShotImageClassification",
        outputs=("logits_per_image", "logits_per_text"),
        axes=(("batch_size", 1), ("text_batch_size", 3), ("sequence_length", 16)),
    )
)
