"""Pictures made of pictures: larger, sharper, without noise."""

from __future__ import annotations

from typing import Any

from olive_build.families.transformers.side import Side
from olive_build.tasks._maps import MapTask

# Pictures have so many rows and columns where a configuration names no size.
SIZE = 64


class ImageToImage(MapTask):
    """Answers are the pixels that the network gives; pictures have one size in a graph.

    transformers 5 has no pipeline of this task: the judge is its image processor and its model.
    """

    def ask(self, library: Any, sample: Any) -> Any:
        size = getattr(library.model.config, "image_size", SIZE)
        width, height = (size, size) if isinstance(size, int) else (size[1], size[0])
        given = library.image_processor(images=sample.resize((width, height)), return_tensors="pt")
        return library.model(**given)


SIDE = Side(
    ImageToImage(
        name="image-to-image",
        tasks=("image-to-image",),
        description="Models that make pictures of pictures, as AutoModelForImageToImage loads",
        classes=("ForImageSuperResolution", "ForImageToImage"),
        auto="AutoModelForImageToImage",
        outputs=("reconstruction",),
    )
)
