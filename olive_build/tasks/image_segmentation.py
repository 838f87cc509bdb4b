"""Which class each place of a picture is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._pictures import PictureTask

# The processors of transformers.js 4.3.1 that have post_process_semantic_segmentation
# (src/models/*/image_processing_*.js).
CLIENT_KNOWS = ("SegformerImageProcessor", "SapiensImageProcessor")
CLIENT_NOTE = (
    "transformers.js has no class of places for this model's image processor: it gives a mask for "
    "each class, without its name, in the order of `id2label` in config.json. The class of a place "
    "is the mask that is lightest there."
)


class ImageSegmentation(PictureTask):
    """Answers are maps of classes [height, width], as large as the network gives them."""

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        known = shown.get("class") in CLIENT_KNOWS
        return {**super().code(shown, takes, most), "client_note": "" if known else CLIENT_NOTE}

    def ask(self, library: Any, sample: Any) -> Any:
        from transformers.modeling_outputs import SemanticSegmenterOutput

        library.fix_size()
        given = library.image_processor(images=sample, return_tensors="pt")
        logits = library.model(**given).logits
        processor = library.image_processor
        found = processor.post_process_semantic_segmentation(SemanticSegmenterOutput(logits=logits))
        return found[0].numpy()

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return answer

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return outputs["logits"][0].argmax(0)

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return the mean intersection over union of the classes that are there."""
        import numpy as np

        classes = np.union1d(found, expected)
        shares = [
            ((found == one) & (expected == one)).sum() / ((found == one) | (expected == one)).sum()
            for one in classes
        ]
        return float(np.mean(shares))


SIDE = Side(
    ImageSegmentation(
        name="image-segmentation",
        tasks=("image-segmentation",),
        description="Models that name each place of a picture, as AutoModelForSemanticSegmentation "
        "loads",
        classes=("ForSemanticSegmentation",),
        auto="AutoModelForSemanticSegmentation",
        outputs=("logits",),
        squares=True,
    )
)
