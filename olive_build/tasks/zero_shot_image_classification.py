"""Which of some texts says what a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks import _scores
from olive_build.tasks._pictures import PictureTask
from olive_build.values import dataclass

CHOICES = (
    ("a house", "an animal", "a landscape with the sea"),
    ("a red triangle", "a blue square on grey ground"),
    ("noise", "a drawing of shapes", "a photo of a city at night", "nothing"),
)


@dataclass(frozen=True, kw_only=True)
class ZeroShot(PictureTask):
    """Each picture is held against some texts; answers are the texts' scores.

    One file takes both, so pictures and texts are batches of their own sizes.
    """

    batches: bool = False

    def ask(self, library: Any, sample: Any) -> Any:
        texts = CHOICES[(sample.width + sample.height) % len(CHOICES)]
        rows = library.pipeline(sample, candidate_labels=list(texts))
        scores = {row["label"]: row["score"] for row in rows}
        return [scores[text] for text in texts]

    def known(self, library: Any) -> dict[str, Any]:
        siglip = "siglip" in library.model.config.model_type
        return {"scores": "sigmoid" if siglip else "softmax"}

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
