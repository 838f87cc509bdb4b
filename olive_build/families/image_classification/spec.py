"""What an image classifier is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, with the names of the classes, and
preprocessor_config.json, which says how images are prepared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.configuration import read_configuration

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
# What transformers' image processors do where preprocessor_config.json does not say.
RESCALE = 1 / 255
CHANNELS = 3


@dataclass(frozen=True)
class ImageClassificationFacts:
    """The numbers that exporting, preparing images and composing need.

    `height` and `width` are those of the model's images, in pixels; `labels` name its classes in
    order. `layers` and `heads` are of attention, 0 for convolutional networks. `client_files` are
    shipped beside a bare graph, `composed_files` beside a composed one.
    """

    architecture: str
    layers: int
    heads: int
    height: int
    width: int
    channels: int
    labels: tuple[str, ...]
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    inputs: tuple[str, ...] = ("pixel_values",)
    client_files: tuple[str, ...] = (CONFIG, PREPROCESSOR)
    composed_files: tuple[str, ...] = (CONFIG,)

    @property
    def longest(self) -> None:
        """The most that is timed at once: any number of images."""
        return

    def template(self, code: str, takes: str) -> str:
        """Return the file of the code that loads a bundle, for a target's kind of code.

        `takes` is the graph's input. Where an application prepares the pixels itself, Python shows
        how, unless a library of the target does it.
        """
        shown = code if takes == "image" or code in ("javascript", "npu") else "python"
        return f"images/{shown}.md"

    def placeholders(self, takes: str) -> dict[str, str]:
        """Return what that code may name of the model."""
        numbers = {name: str(getattr(self, name)) for name in ("height", "width", "channels")}
        numbers["convert"] = "grayscale" if self.channels == 1 else "rgb"
        if takes == "image":
            return numbers | {"prepare": "# The file prepares them.", "prepared": "images"}
        mean, std = (f"np.array({list(values)}, np.float32)" for values in (self.mean, self.std))
        prepare = f"pixels = (images * np.float32({self.rescale!r}) - {mean}) / {std}"
        return numbers | {"prepare": prepare, "prepared": "pixels.transpose(0, 3, 1, 2)"}

    def training_data(self, shapes: Mapping[str, int]) -> dict[str, Any]:
        """Return what images are read as; of its sizes a recipe can fix the batch's alone."""
        return {
            "kind": "images",
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "rescale": self.rescale,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def inspect(folder: Path) -> ImageClassificationFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config, prepared = _read(folder, CONFIG), _read(folder, PREPROCESSOR)
    try:
        channels = int(config.get("num_channels", CHANNELS))
        heads = config.get("num_attention_heads", 0)
        # Networks with several stages have a list; their attention is not of the kind that fuses.
        heads = heads if isinstance(heads, int) else 0
        height, width = _size(prepared)
        mean, std = _normalization(prepared, channels)
        rescale = prepared.get("rescale_factor", RESCALE) if prepared.get("do_rescale", True) else 1
        facts = ImageClassificationFacts(
            architecture=str(config.get("model_type", "unknown")),
            layers=int(config.get("num_hidden_layers", 0)) if heads else 0,
            heads=heads,
            height=height,
            width=width,
            channels=channels,
            labels=_labels(config),
            rescale=float(rescale),
            mean=mean,
            std=std,
        )
    except (KeyError, TypeError, ValueError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise _not_this_family(folder, why) from error
    if min(height, width, channels) < 1:
        why = f"its images are {height} x {width} with {channels} channels"
        raise _not_this_family(folder, why)
    return facts


def _read(folder: Path, name: str) -> dict[str, Any]:
    return read_configuration(folder, name, _not_this_family)


def _not_this_family(folder: Path, why: str) -> PlanError:
    return PlanError(
        "the model is not one of the family 'image-classification'",
        where=str(folder),
        why=why,
        hint="the folder must be as transformers saves a ...ForImageClassification and its image "
        "processor",
    )


def _labels(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes in order; transformers numbers them as text."""
    names = {int(index): str(name) for index, name in config["id2label"].items()}
    if sorted(names) != list(range(len(names))) or len(names) < 2:
        raise ValueError(f"id2label of {CONFIG} does not number two or more classes from 0")
    return tuple(names[index] for index in range(len(names)))


def _size(prepared: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of the images that the model takes, after a crop if there is one."""
    size = prepared["crop_size"] if prepared.get("do_center_crop") else prepared["size"]
    if isinstance(size, int):
        return size, size
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return int(size["height"]), int(size["width"])


def _normalization(
    prepared: dict[str, Any], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not prepared.get("do_normalize", True):
        return (0.0,) * channels, (1.0,) * channels
    found = []
    for name in ("image_mean", "image_std"):
        given = prepared[name]
        values = tuple(map(float, given if isinstance(given, list) else [given]))
        if len(values) not in (1, channels):
            raise ValueError(f"{name} has {len(values)} numbers, and images have {channels}")
        found.append(values * channels if len(values) == 1 else values)
    if not all(found[1]):
        raise ValueError("image_std has a zero, by which nothing can be divided")
    return found[0], found[1]
