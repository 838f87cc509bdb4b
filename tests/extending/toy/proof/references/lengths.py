"""A kind of reference that is not in the product: embeddings of which the lengths alone count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from olive_build.proof.embedding import Floats
from olive_build.proof.references.embedding import EmbeddingReference


@dataclass(frozen=True)
class LengthsReference(EmbeddingReference):
    """As the product's, under a name and a metric of its own."""

    kind: ClassVar[str] = "lengths"
    metric: ClassVar[str] = "evenness"

    def compare(self, candidate: Floats, expected: Floats) -> dict[str, float]:
        """Return the largest difference between two lengths of [texts, values]."""
        one, other = (np.linalg.norm(rows, axis=1) for rows in (candidate, expected))
        return {"longest_difference": float(np.abs(one - other).max())}

    @staticmethod
    def restored(
        described: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> LengthsReference:
        """Return what was stored. Raises ValueError, KeyError or TypeError."""
        return LengthsReference(**vars(EmbeddingReference.restored(described, arrays)))


REFERENCE = LengthsReference
