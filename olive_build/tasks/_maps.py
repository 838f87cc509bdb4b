"""Tasks whose answer is what the network gives: a number for each place."""

from __future__ import annotations

from typing import Any

from olive_build.families.transformers.task import Arrays, Known
from olive_build.tasks._pictures import PictureTask


class MapTask(PictureTask):
    """Answers are maps of numbers; two are alike where they differ by little of their size."""

    def answer(self, outputs: Arrays, feeds: Arrays, known: Known) -> Any:
        return outputs[self.outputs[0]][0]

    def agreement(self, found: Any, expected: Any, known: Known) -> float:
        """Return 1 less the mean difference over the mean size, and 0 at least."""
        import numpy as np

        size = max(float(np.abs(expected).mean()), 1e-12)
        return max(0.0, 1 - float(np.abs(found - expected).mean()) / size)
