"""Which objects are in a picture, and where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._labels import label_names
from olive_build.tasks._pictures import PictureTask

# The surest boxes of a picture are compared, however sure that is.
BEST = 10
SAME_PLACE = 0.5
CORNERS = ("xmin", "ymin", "xmax", "ymax")

# Models whose last class is that of no object, and whose scores are of softmax.
HAVE_NONE = ("detr", "yolos", "table-transformer")
# The surest class of each query of such a model; of others, the surest queries and classes.
OF_QUERIES = (
    "scores = np.exp(logits - logits.max(-1, keepdims=True))",
    "scores = (scores / scores.sum(-1, keepdims=True))[:, :-1]  # the last class is no object",
    "found = [(row, scores[row].argmax()) for row in range(len(scores))]",
)
OF_PAIRS = (
    "scores = 1 / (1 + np.exp(-logits))",
    "best = (-scores.reshape(-1)).argsort()[: len(scores)]",
    "found = [divmod(place, scores.shape[1]) for place in best]",
)


class ObjectDetection(PictureTask):
    """Answers are the surest boxes: corners as shares of the picture, with their class."""

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        found = super().shown(folder, config)
        return {**found, "none": config.get("model_type") in HAVE_NONE}

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        found = super().code(shown, takes, most)
        return {**found, "choose": "\n".join(OF_QUERIES if shown["none"] else OF_PAIRS)}

    def ask(self, library: Any, sample: Any) -> Any:
        library.fix_size()
        found = library.pipeline(sample, threshold=0.0)
        best = sorted(found, key=lambda box: -box["score"])[:BEST]
        sizes = (sample.width, sample.height) * 2
        return [
            [
                box["label"],
                *(box["box"][name] / size for name, size in zip(CORNERS, sizes, strict=True)),
            ]
            for box in best
        ]

    def known(self, library: Any) -> dict[str, Any]:
        kind = library.model.config.model_type
        return {"labels": label_names(library), "none": kind in HAVE_NONE}

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return answer

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        import numpy as np

        logits, boxes = outputs["logits"][0].astype(np.float64), outputs["pred_boxes"][0]
        if known["none"]:
            shifted = np.exp(logits - logits.max(-1, keepdims=True))
            scores = (shifted / shifted.sum(-1, keepdims=True))[:, :-1]
            rows = scores.max(-1).argsort(kind="stable")[::-1][:BEST]
            pairs = [(int(row), int(scores[row].argmax())) for row in rows]
        else:
            order = logits.reshape(-1).argsort(kind="stable")[::-1][:BEST]
            pairs = [divmod(int(place), logits.shape[1]) for place in order]
        return [[known["labels"][label], *_corners(boxes[row])] for row, label in pairs]

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return the share of boxes that another of their class covers by half (IoU)."""
        left, hits = list(found), 0
        for label, *box in expected:
            same = [item for item in left if item[0] == label and _iou(item[1:], box) >= SAME_PLACE]
            if same:
                left.remove(same[0])
                hits += 1
        return hits / max(len(expected), 1)

    def is_same(self, found: Any, expected: Any, known: Known) -> bool:
        # The pipeline's corners are whole pixels; draws may be ordered otherwise.
        return self.agreement(found, expected, known) >= 0.8


def _corners(box: Any) -> list[float]:
    middle_x, middle_y, width, height = map(float, box)
    return [
        *(middle_x - width / 2, middle_y - height / 2),
        *(middle_x + width / 2, middle_y + height / 2),
    ]


def _iou(one: Any, other: Any) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0.0) * max(height, 0.0)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both
    return both / whole if whole > 0 else 1.0


SIDE = Side(
    ObjectDetection(
        name="object-detection",
        tasks=("object-detection",),
        description="Models that find objects in pictures, as AutoModelForObjectDetection loads",
        classes=("ForObjectDetection",),
        auto="AutoModelForObjectDetection",
        outputs=("logits", "pred_boxes"),
        squares=True,
    )
)
