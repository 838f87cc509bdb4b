"""Folders with image processors as transformers saves them, and what comes of a picture in both."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from PIL import Image
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from olive_build.clients.onnxruntime_client import open_session
from olive_build.errors import PlanError
from olive_build.families.image_classification.preparation import Preparation
from olive_build.families.image_classification.preparing import preparing_model
from olive_build.families.image_classification.processor import read_processor
from olive_build.families.image_classification.reading import preparation_of

# Of ours, whatever the class's are, so that pictures stay small: (37, 53) becomes about this.
SMALL: Mapping[str, Mapping[str, Any]] = {
    "PerceiverImageProcessor": {
        "size": {"height": 28, "width": 28},
        "crop_size": {"height": 32, "width": 32},
    },
    "TextNetImageProcessor": {"size": {"shortest_edge": 40}},
    "DonutImageProcessor": {"size": {"height": 40, "width": 30}},
}
CROP = {"height": 28, "width": 28}
SIZES = ((32, 32), (37, 53), (90, 41), (3, 5))


def classifiers_processors() -> dict[str, type[Any]]:
    """Return the classes, in Pillow's backend, that AutoImageProcessor has for classifiers."""
    named = {
        name
        for model in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
        if (name := (IMAGE_PROCESSOR_MAPPING_NAMES.get(model) or {}).get("pil"))
    }
    found = {name: get_image_processor_class_from_name(name) for name in sorted(named)}
    return {name.removesuffix("Pil"): kind for name, kind in found.items() if name.endswith("Pil")}


def small(name: str, kind: Any) -> dict[str, Any]:
    """Return settings of a class for small pictures."""
    named = getattr(kind, "size", None) or ()
    size = {"size": dict.fromkeys(named, 32)} if named else {}
    return {"crop_size": CROP, **size, **SMALL.get(name, {})}


def saved(folder: Path, kind: Any, **settings: Any) -> dict[str, Any]:
    """Save a processor of `kind` as the library does, and return what its file says."""
    kind(**settings).save_pretrained(str(folder))
    (folder / "config.json").write_text('{"model_type": "vit"}')
    found: dict[str, Any] = json.loads((folder / "preprocessor_config.json").read_text())
    return found


def written(folder: Path, settings: Mapping[str, Any], **config: Any) -> Path:
    """Write both files of a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", **config}))
    return folder


def read(folder: Path, channels: int = 3) -> Preparation:
    """Return our reading of a folder. Raises PlanError."""
    config = json.loads((folder / "config.json").read_text())
    return preparation_of(read_processor(folder, config), channels, None)


def outcome(folder: Path, sizes: Sequence[tuple[int, int]] = SIZES, channels: int = 3) -> str:
    """Return `equal` where our graph makes the library's pixels of pictures, or the refusal.

    Within one grey level where something is resized, else within 1e-4 of the largest value.
    """
    try:
        prepared = read(folder, channels)
    except PlanError as error:
        return f"refused: {error.why}"
    library = transformers.AutoImageProcessor.from_pretrained(str(folder), backend="pil")
    for height, width in sizes if prepared.steps else [(prepared.height, prepared.width)]:
        shape = (height, width, channels)
        picture = np.random.default_rng(height).integers(0, 256, shape, dtype=np.uint8)
        image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
        wanted = np.asarray(library(images=image, return_tensors="np")["pixel_values"], np.float32)
        found = session(prepared).run(None, {"image": picture[None]})[0]
        if found.shape != wanted.shape:
            return f"wrong: {found.shape} instead of {wanted.shape}"
        one_level = abs(prepared.rescale) / min(map(abs, prepared.std)) * 1.001
        allowed = one_level if prepared.steps else 1e-4 * float(np.abs(wanted).max())
        if (apart := float(np.abs(found - wanted).max())) > allowed:
            return f"wrong: {apart} of {allowed} at {height} x {width}"
    return "equal"


@functools.cache
def session(prepared: Preparation) -> Any:
    """Return a session of the graph that prepares pictures."""
    return open_session(preparing_model(prepared).SerializeToString())
