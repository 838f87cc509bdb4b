"""How far each place of a picture is."""

from __future__ import annotations

from typing import Any

from olive_build.families.transformers.side import Side
from olive_build.tasks._maps import MapTask


class DepthEstimation(MapTask):
    """Answers are the depths that the network gives, before they are resized to the picture."""

    def ask(self, library: Any, sample: Any) -> Any:
        library.fix_size()
        return library.pipeline(sample)


SIDE = Side(
    DepthEstimation(
        name="depth-estimation",
        tasks=("depth-estimation",),
        description="Models that tell the depth of pictures, as AutoModelForDepthEstimation loads",
        classes=("ForDepthEstimation",),
        auto="AutoModelForDepthEstimation",
        outputs=("predicted_depth",),
        squares=True,
    )
)
