"""What tasks of pictures have in common: pictures of many sizes, drawn and not taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olive_build.families.facts import Axes
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

    def axis(self, name: str, index: int) -> str:
        return (
            ("batch_size", f"{name}_1", "height", "width")[index]
            if index < 4
            else f"{name}_{index}"
        )
