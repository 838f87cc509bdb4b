"""Pictures made of pictures: larger, sharper, without noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olive_build.families.configuration import read_object
from olive_build.families.facts import Axes
from olive_build.families.image_classification.processor import PREPROCESSOR
from olive_build.families.transformers.shown_pictures import PIXELS
from olive_build.families.transformers.side import Side
from olive_build.tasks._maps import MapTask

# Pictures have so many rows and columns where a configuration names no size.
SIZE = 64
# The processor that mirrors pictures at two edges.
MIRRORS = "Swin2SRImageProcessor"


class ImageToImage(MapTask):
    """Answers are the pixels that the network gives; pictures have one size in a graph.

    transformers 5 has no pipeline of this task: the judge is its image processor and its model.
    """

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        found = super().shown(folder, config)
        settings = found.get("settings")
        file = {**read_object(folder / PREPROCESSOR), **(settings or {})}
        if found.get("class") == MIRRORS:
            # The client is given pictures of the file's size, and cannot pad by this class's rule.
            settings = {**file, "do_pad": False}
        rescale = file.get("rescale_factor", 1 / 255)
        return {**found, "size": _size(config), "rescale": rescale, "settings": settings}

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        height, width = takes[PIXELS][-2:]
        found = {**super().code(shown, takes, most), "height": str(height), "width": str(width)}
        taken_height, taken_width = shown["size"]
        found |= {"taken_height": str(taken_height), "taken_width": str(taken_width)}
        return {**found, **self._filled(shown, height, width)}

    @staticmethod
    def _filled(shown: Mapping[str, Any], height: Any, width: Any) -> dict[str, str]:
        """Return the lines of Swin2SR's processor, which mirrors pictures at two edges."""
        if shown.get("class") != MIRRORS:
            return {}
        lines = (
            f"down, right = {height} - picture.height, {width} - picture.width",
            'filled = np.pad(np.array(picture), ((0, down), (0, right), (0, 0)), "symmetric")',
            f"pixels = (filled * np.float32({shown['rescale']!r})).transpose(2, 0, 1)[None]",
        )
        return {"prepare": "\n".join(lines), "note": ""}

    def ask(self, library: Any, sample: Any) -> Any:
        height, width = _size({"image_size": getattr(library.model.config, "image_size", None)})
        given = library.image_processor(images=sample.resize((width, height)), return_tensors="pt")
        return library.model(**given)


def _size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of the pictures that a graph is made for."""
    size = config.get("image_size") or SIZE
    return (size, size) if isinstance(size, int) else (size[0], size[1])


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
