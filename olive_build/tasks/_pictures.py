"""What tasks of pictures have in common: pictures of many sizes, drawn and not taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.families.configuration import read_object
from olive_build.families.facts import Axes
from olive_build.families.feature_extractor import PREPROCESSOR
from olive_build.families.transformers.shown_pictures import (
    client_file,
    pictures_code,
    pictures_shown,
)
from olive_build.families.transformers.task import Task
from olive_build.values import dataclass

EXAMPLES = 6
SEED = 7
# Height and width of the examples.
SIZES = ((96, 128), (160, 120), (64, 64), (200, 333), (75, 50), (128, 97))


@dataclass(frozen=True, kw_only=True)
class PictureTask(Task):
    """A task whose samples are pictures of any size, which the model's image processor prepares."""

    samples: str = "pictures"
    data_suffix: str = ".npz"
    data: tuple[str, ...] = ("pictures",)
    calibration: tuple[str, ...] = ("calibration-pictures",)
    size_unit: str = "pictures"
    sizes: tuple[int, ...] = (1,)
    convolutional: bool = True
    pads: bool = False
    # Whether pictures become squares where the processor keeps proportions.
    squares: bool = False

    def shown(self, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        return pictures_shown(folder, config, square=self.squares)

    def code(self, shown: Mapping[str, Any], takes: Axes, most: int | None) -> dict[str, str]:
        return pictures_code(shown, takes)

    def written(self, shown: Mapping[str, Any]) -> dict[str, bytes]:
        return client_file(shown)

    def read(self, data: Path) -> Sequence[Any]:
        """Return the pictures of a file as Pillow has them."""
        from olive_build.tasks._drawing import read_pictures

        return read_pictures(data)

    def examples(self, library: Any) -> Sequence[Any]:
        from olive_build.tasks._drawing import as_images, drawn

        return as_images(drawn(SEED, SIZES))

    def notes(self, folder: Path) -> tuple[str, ...]:
        """Return that pictures are squares for the network, where its processor makes none."""
        size = one_size(read_object(folder / PREPROCESSOR)) if self.squares else None
        if size is None:
            return ()
        resized = f"pictures are resized to {size} x {size} pixels, since a graph has one size; "
        return (
            f"{resized}the model's own processor, which keeps proportions, judges at that size",
        )

    def axis(self, name: str, index: int) -> str:
        return (
            ("batch_size", f"{name}_1", "height", "width")[index]
            if index < 4
            else f"{name}_{index}"
        )


def one_size(processor: Mapping[str, Any]) -> int | None:
    """Return the edge of the squares that pictures become where a processor has a rule of its own.

    None where it gives all pictures one size.
    """
    size = processor.get("size")
    if not isinstance(size, Mapping) or "height" in size or processor.get("do_center_crop"):
        return None
    edge = size.get("shortest_edge") or size.get("longest_edge")
    return edge if type(edge) is int else None
