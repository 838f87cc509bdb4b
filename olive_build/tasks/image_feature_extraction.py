"""A vector for a picture, and one for each of its patches."""

from __future__ import annotations

from typing import Any

from olive_build.families.transformers.side import Side
from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._pictures import PictureTask


class ImageFeatures(PictureTask):
    """Answers are the hidden states; how near two of them are is their cosine."""

    def theirs(self, answer: Any, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        import numpy as np

        return np.array(answer, np.float32).reshape(-1)

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return outputs["last_hidden_state"].reshape(-1)

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return the cosine of the two, and 0 at least."""
        import numpy as np

        size = float(np.linalg.norm(found) * np.linalg.norm(expected))
        return max(0.0, float(found @ expected) / max(size, 1e-12))

    def is_same(self, found: Any, expected: Any, known: Known) -> bool:
        import numpy as np

        return bool(np.allclose(found, expected, atol=1e-5))


SIDE = Side(
    ImageFeatures(
        name="image-feature-extraction",
        tasks=("image-feature-extraction",),
        description="Models that make vectors of pictures, such as DINOv2 and ViT without a head",
        classes=("ViTModel", "Dinov2Model", "DeiTModel", "BeitModel", "SwinModel", "ConvNextModel"),
        auto="AutoModel",
        outputs=("last_hidden_state", "pooler_output"),
    )
)
