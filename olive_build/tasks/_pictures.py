"""What tasks of pictures have in common: pictures of many sizes, drawn and not taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
