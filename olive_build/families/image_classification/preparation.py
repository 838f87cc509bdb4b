"""How pictures become what a network takes, as steps with sizes in pixels. Light.

The steps are those of transformers (image_processing_backends.py and image_transforms.py).
"""

from __future__ import annotations

from dataclasses import dataclass

# Pillow's filters in the order of their numbers (PIL.Image.Resampling).
FILTERS = ("NEAREST", "LANCZOS", "BILINEAR", "BICUBIC", "BOX", "HAMMING")
BICUBIC = FILTERS.index("BICUBIC")


@dataclass(frozen=True)
class Exact:
    """A picture becomes `height` x `width`, whatever its shape is."""

    height: int
    width: int


@dataclass(frozen=True)
class Shortest:
    """The shorter side becomes `edge` and the other keeps the shape, cut to whole pixels.

    With `longest`, neither side grows beyond that; both are rounded up to multiples of `divisor`.
    """

    edge: int
    longest: int | None = None
    divisor: int = 1


@dataclass(frozen=True)
class Within:
    """The picture becomes as large as fits into `height` x `width` in its shape."""

    height: int
    width: int


@dataclass(frozen=True)
class Thumbnail:
    """The picture becomes smaller, if it must, until it fits into `height` x `width`.

    Donut's own arithmetic: the longer side is cut first, the other follows it.
    """

    height: int
    width: int


Size = Exact | Shortest | Within | Thumbnail


@dataclass(frozen=True)
class Resize:
    """A picture becomes another size; `resample` is Pillow's number of the filter."""

    size: Size
    resample: int


@dataclass(frozen=True)
class Crop:
    """The middle `height` x `width` remains; what lies outside of the picture is black."""

    height: int
    width: int


@dataclass(frozen=True)
class ShareCrop:
    """Of the middle, shares of the shorter side remain as height and width."""

    height: float
    width: float


@dataclass(frozen=True)
class Frame:
    """Black is put around a picture, half of it before, until it is `height` x `width`."""

    height: int
    width: int


@dataclass(frozen=True)
class Turn:
    """A picture is turned clockwise if its longer side is the other one; `upright` is height."""

    upright: bool


Step = Resize | Crop | ShareCrop | Frame | Turn


@dataclass(frozen=True)
class Preparation:
    """What becomes of a picture: `steps` on its bytes, then numbers.

    `height` and `width` are of what comes out, in pixels. Without steps, pictures are of that size
    already. A byte times `rescale`, less the `mean` and over the `std` of its channel, is a pixel;
    `flips` says whether the channels come in the other order. `notes` is what a plan tells of it.
    """

    steps: tuple[Step, ...]
    height: int
    width: int
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flips: bool = False
    notes: tuple[str, ...] = ()

    @property
    def leaves_own_size(self) -> bool:
        """Whether the bytes of pictures that have the network's size stay as they are."""
        return all(self._leaves(step) for step in self.steps)

    def _leaves(self, step: Step) -> bool:
        end = step.size if isinstance(step, Resize) else step
        match end:
            case Shortest(edge, None, 1):
                return edge == min(self.height, self.width)
            case Exact(height, width) | Crop(height, width) | Frame(height, width):
                return (height, width) == (self.height, self.width)
            case Thumbnail(height, width):
                return (height, width) == (self.height, self.width)
        return isinstance(end, Turn)
