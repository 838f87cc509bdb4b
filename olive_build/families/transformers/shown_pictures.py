"""What a bundle's code shows of preparing a picture: Python with Pillow and numpy. Light."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from olive_build.errors import PlanError
from olive_build.families.facts import Axes
from olive_build.families.image_classification.processor import (
    PREPROCESSOR,
    Processor,
    Settings,
    read_processor,
)
from olive_build.families.image_classification.reading import CHANNELS, preparation_of
from olive_build.families.image_classification.shown_code import picture_code, sizes_text

PIXELS = "pixel_values"
EDGES = ("shortest_edge", "longest_edge")

SQUARED = (
    "One file takes pictures of one size: they are resized to it whatever their shape is, where "
    "the model's own image processor keeps their proportions. That is how the figures in "
    "`proof.json` were measured."
)


def pictures_shown(folder: Path, config: Mapping[str, Any], *, square: bool) -> dict[str, Any]:
    """Return how pictures are prepared: `prepared`, or `why` no short code says it.

    With `square` they become squares where the processor keeps proportions, as
    `Library.fix_size` has it: `settings` are then those of the file that a client needs.
    """
    try:
        processor = read_processor(folder, config)
        fixed = _squared(processor) if square else processor
    except (PlanError, ValueError) as error:
        return {"why": _reason(error)}
    changed = fixed is not processor or processor.is_nested
    found = {
        "class": processor.kind,
        "settings": fixed.settings if changed else None,
        "limits": SQUARED if fixed is not processor else "",
    }
    try:
        channels = int(config.get("num_channels") or CHANNELS)
        return {**found, "prepared": preparation_of(fixed, channels, _image_size(config))}
    except (PlanError, TypeError, ValueError) as error:
        return {**found, "why": _reason(error)}


def _reason(error: Exception) -> str:
    return getattr(error, "why", None) or str(error)


def _squared(processor: Processor) -> Processor:
    """Return the processor that makes pictures of one size, whatever their shape."""
    settings, given = Settings(processor), dict(processor.given)
    if given.get("keep_aspect_ratio", processor.defaults.get("keep_aspect_ratio")):
        given["keep_aspect_ratio"] = False
    if settings["size"] and not settings.flag("do_center_crop"):
        size = settings.size("size", square=settings.flag("default_to_square"))
        edge = next((size[name] for name in EDGES if name in size), None)
        if edge and "height" not in size:
            given["size"] = {"height": edge, "width": edge}
    if given == processor.given:
        return processor
    return replace(processor, given=given, settings={**processor.settings, **given})


def _image_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width that config.json names, if it does."""
    named = config.get("image_size")
    match named if isinstance(named, list) else [named, named]:
        case [int(height), int(width)] if min(height, width) > 0:
            return height, width
    return None


def client_file(shown: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the file that clients read, where it is not the folder's."""
    if not shown.get("settings"):
        return {}
    return {PREPROCESSOR: f"{json.dumps(dict(shown['settings']), indent=2)}\n".encode()}


def pictures_code(shown: Mapping[str, Any], takes: Axes) -> dict[str, str]:
    """Return the lines that make `pixels`, the graph's input, of a picture.

    Where none say what the model's image processor does, the lines leave it to the application, and
    `note` says so.
    """
    axes = takes.get(PIXELS, ())
    prepared, why = shown.get("prepared"), shown.get("why", "")
    size = tuple(axes[-2:])
    makes = (prepared.height, prepared.width) if prepared else size
    if size != makes and all(isinstance(side, int) for side in size):
        why = f"it makes {makes[0]} x {makes[1]}, and this file takes {size[0]} x {size[1]}"
    found = {"limits": shown.get("limits", ""), "note": ""}
    if prepared and not why:
        return {**found, **picture_code(prepared, PIXELS), "sizes": sizes_text(prepared)}
    shape = ", ".join(str(side) if isinstance(side, int) else "1" for side in axes)
    return {
        **found,
        "example": 'Image.new("RGB", (640, 480))',
        "mode": "RGB",
        "sizes": "any",
        "prepare": f"pixels = np.zeros(({shape}), np.float32)  # of the picture, see below",
        "prepared": "pixels",
        "note": "No short code prepares pictures as the model's image processor does "
        f"({why}): the application does that, and gives `pixels` {list(axes)}.",
    }
