"""What an image classifier is, read from its configuration alone: no weights, no torch.

The files are those that transformers writes: config.json, with the names of the classes, and
preprocessor_config.json or processor_config.json, which say how images are prepared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from olive_build.errors import PlanError
from olive_build.families.configuration import class_names, none_of, read_configuration
from olive_build.families.facts import Axes, Component, Facts
from olive_build.families.image_classification.preparation import Preparation
from olive_build.families.image_classification.processor import (
    PREPROCESSOR,
    Processor,
    read_processor,
)
from olive_build.families.image_classification.reading import CHANNELS, preparation_of
from olive_build.families.image_classification.shown_code import picture_code, sizes_text
from olive_build.families.stored_tensors import in_convolutions

CONFIG = "config.json"
REGRESSION, MULTI_LABEL = "regression", "multi_label_classification"
SINGLE_LABEL = "single_label_classification"
# A model is convolutional where more than this share of its weights is kernels: each block of a
# ConvNeXt has one beside two matrices, a ViT or Swin has one for its patches alone.
CONVOLUTIONAL = 0.25
_not_this_family = none_of(
    "image-classification",
    "the folder must be as transformers saves a ...ForImageClassification and its image processor",
)
_read = partial(read_configuration, refused=_not_this_family)


@dataclass(frozen=True, kw_only=True)
class ImageClassificationFacts(Facts):
    """What exporting, preparing images and composing need.

    `prepared` is how a picture becomes what the network takes; `labels` name its classes in order,
    and `scores` is what makes answers of logits: softmax, sigmoid or none. `layers` and `heads` are
    of attention that fuses, 0 where there is none. `convolutional` models have convolutions in
    all their blocks.
    """

    layers: int
    heads: int
    prepared: Preparation
    labels: tuple[str, ...]
    convolutional: bool
    scores: str = "softmax"
    inputs: tuple[str, ...] = ("pixel_values",)
    client_files: tuple[str, ...] = (CONFIG, PREPROCESSOR)
    composed_files: tuple[str, ...] = (CONFIG,)

    @property
    def height(self) -> int:
        """The height of what the network takes, in pixels."""
        return self.prepared.height

    @property
    def width(self) -> int:
        """The width of what the network takes, in pixels."""
        return self.prepared.width

    @property
    def channels(self) -> int:
        """How many channels images have: 1 or 3."""
        return len(self.prepared.mean)

    @property
    def components(self) -> tuple[Component, ...]:
        """One graph, of matrix products or of convolutions."""
        kind: Literal["convolutions", "products"]
        kind = "convolutions" if self.convolutional else "products"
        return (Component(attentions=self.layers, weights=kind),)

    def templates(self, language: str, takes: Axes) -> dict[str, tuple[str, ...]]:
        """Return the templates of the code that loads a bundle: see `families.Axes`.

        Where an application prepares the pixels itself, Python shows how, unless a client does it.
        """
        own = "image" in takes or language == "transformers_js"
        return {"": (f"image.{language if own else 'python'}",)}

    def placeholders(self, takes: Axes, options: Mapping[str, str]) -> dict[str, str]:
        """Return what that code may name of the model."""
        numbers = {name: str(getattr(self, name)) for name in ("height", "width", "channels")}
        numbers["convert"] = "grayscale" if self.channels == 1 else "rgb"
        return (
            numbers
            | picture_code(self.prepared, next(iter(takes)))
            | {"sizes": sizes_text(self.prepared)}
        )

    def training_data(self, shapes: Mapping[str, int]) -> dict[str, Any]:
        """Return what images are read as; of its sizes a recipe can fix the batch's alone.

        Raises PlanError where images of the network's own size would be resized, which reading
        examples does not do.
        """
        if not self.prepared.leaves_own_size:
            size = f"{self.height} x {self.width}"
            raise PlanError(
                "the model's image processor does what training does not",
                why=f"it resizes or crops even images of {size}, the size that the network takes, "
                "and `olive-build train` reads images as they are",
                hint=f"save the processor with `size` {size} and without do_center_crop, if the "
                "application prepares its images so",
            )
        return {
            "kind": "images",
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "rescale": self.prepared.rescale,
            "mean": list(self.prepared.mean),
            "std": list(self.prepared.std),
            "flips": self.prepared.flips,
        }


def inspect(folder: Path) -> ImageClassificationFacts:
    """Return the facts of the model in `folder`.

    Raises PlanError when a file is missing or names something that this family does not build.
    """
    config = _read(folder, CONFIG)
    processor = read_processor(folder, config)
    try:
        channels = int(config.get("num_channels") or CHANNELS)
        heads = config.get("num_attention_heads", 0)
        # Networks with several stages have a list; their attention is not of the kind that fuses.
        heads = heads if isinstance(heads, int) else 0
        labels = class_names(config)
        if channels not in (1, CHANNELS):
            raise ValueError(f"its images have {channels} channels; pictures have 1 or {CHANNELS}")
        prepared = preparation_of(processor, channels, _image_size(config))
        return ImageClassificationFacts(
            architecture=str(config.get("model_type", "unknown")),
            layers=int(config.get("num_hidden_layers", 0)) if heads else 0,
            heads=heads,
            prepared=prepared,
            labels=labels,
            convolutional=in_convolutions(folder) > CONVOLUTIONAL,
            scores=_scores(config.get("problem_type"), len(labels)),
            written_files=_for_clients(processor),
            notes=prepared.notes,
        )
    except (TypeError, ValueError) as error:
        raise _not_this_family(folder, str(error)) from error


def _for_clients(processor: Processor) -> dict[str, bytes]:
    """Return the file that clients read where the folder has the settings in another."""
    if not processor.is_nested:
        return {}
    return {PREPROCESSOR: f"{json.dumps(dict(processor.settings), indent=2)}\n".encode()}


def _image_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width that config.json names, if it does."""
    named = config.get("image_size")
    match named if isinstance(named, list) else [named, named]:
        case [int(height), int(width)] if min(height, width) > 0:
            return height, width
    return None


def _scores(problem: Any, classes: int) -> str:
    """Return what makes scores of logits, as transformers' ImageClassificationPipeline chooses."""
    if problem == SINGLE_LABEL and classes == 1:
        raise ValueError(f"problem_type is {SINGLE_LABEL}, and there is one class")
    if problem == REGRESSION:
        return "none"
    return "sigmoid" if problem == MULTI_LABEL or classes == 1 else "softmax"
