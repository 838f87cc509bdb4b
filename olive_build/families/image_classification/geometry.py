"""What transformers' image processors do to the size of a picture, class by class. Light.

Follows `_preprocess` and `resize` of the classes (models/*/image_processing_pil_*.py) and of their
backend (image_processing_backends.py). Each function asks for the keys that its class uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from olive_build.families.image_classification.preparation import (
    BICUBIC,
    FILTERS,
    Crop,
    Exact,
    Frame,
    Resize,
    ShareCrop,
    Shortest,
    Size,
    Step,
    Thumbnail,
    Turn,
    Within,
)
from olive_build.families.image_classification.processor import Settings

# From this edge on, ConvNext gives a picture's shape up and crops nothing.
CONVNEXT_WARPS = 384
# LeViT resizes to 256 what is cropped to 224.
LEVIT = 256 / 224
PAD = ("do_pad", "pad_size")
CROP = ("do_center_crop", "crop_size")
LABELS = ("do_reduce_labels",)  # of segmentation maps
PAN = (
    "pan_and_scan_min_crop_size",
    "pan_and_scan_max_num_crops",
    "pan_and_scan_min_ratio_to_activate",
)
Steps = tuple[Step, ...]


def _none(settings: Settings) -> float:
    return 0.0


def _never(settings: Settings) -> bool:
    return False


@dataclass(frozen=True)
class Reading:
    """How a class is read: its `steps`, and the keys that it takes and does nothing with.

    `normalizes` says whether do_normalize does anything, `flips` whether do_flip_channel_order is
    a key. `offset` is what a rescaled pixel loses before it is normalized, and `divides_again`
    says whether it is divided by image_std once more at the end.
    """

    steps: Callable[[Settings], Steps]
    idle: tuple[str, ...] = ()
    normalizes: bool = True
    flips: bool = False
    offset: Callable[[Settings], float] = _none
    divides_again: Callable[[Settings], bool] = _never


def _plain(settings: Settings) -> Steps:
    return (*_resized(settings), *_cropped(settings))


def _resized(settings: Settings) -> Steps:
    if not settings.flag("do_resize"):
        settings.ignore("size", "resample")
        return ()
    return (Resize(_size(_named(settings)), _filter(settings)),)


def _cropped(settings: Settings) -> Steps:
    if not settings.flag("do_center_crop"):
        settings.ignore("crop_size")
        return ()
    size = settings.size("crop_size")
    _require(size, "crop_size", "height", "width")
    return (Crop(size["height"], size["width"]),)


def _named(settings: Settings) -> dict[str, int]:
    return settings.size("size", square=settings.flag("default_to_square"))


def _require(size: Mapping[str, int], key: str, *names: str) -> None:
    if not set(names) <= set(size):
        raise ValueError(f"{key} names {', '.join(size)}; {' and '.join(names)} are expected")


def _size(named: Mapping[str, int]) -> Size:
    """Return the size that the backend's `resize` makes of one by names."""
    match sorted(named):
        case ["longest_edge", "shortest_edge"]:
            return Shortest(named["shortest_edge"], longest=named["longest_edge"])
        case ["shortest_edge"]:
            return Shortest(named["shortest_edge"])
        case ["max_height", "max_width"]:
            return Within(named["max_height"], named["max_width"])
        case ["height", "width"]:
            return Exact(named["height"], named["width"])
    raise ValueError(f"size names {', '.join(named)}, which transformers does not resize by here")


def _filter(settings: Settings) -> int:
    resample = settings["resample"]
    if isinstance(resample, bool) or resample not in range(len(FILTERS)):
        raise ValueError(f"resample is {resample!r}; a number below {len(FILTERS)} is expected")
    return int(resample)


def _convnext(settings: Settings) -> Steps:
    share = settings.number("crop_pct")
    if not settings.flag("do_resize"):
        return _plain(settings)
    size = _named(settings)
    _require(size, "size", "shortest_edge")
    edge, resample = size["shortest_edge"], _filter(settings)
    if edge >= CONVNEXT_WARPS:
        return (Resize(Exact(edge, edge), resample), *_cropped(settings))
    resized = Resize(Shortest(int(edge / share)), resample)
    return (resized, Crop(edge, edge), *_cropped(settings))


def _poolformer(settings: Settings) -> Steps:
    share = settings.number("crop_pct")
    if not settings.flag("do_resize"):
        return _plain(settings)
    size = _named(settings)
    if "shortest_edge" in size:
        found: Size = Shortest(int(size["shortest_edge"] / share))
    else:
        _require(size, "size", "height", "width")
        height, width = (int(size[name] / share) for name in ("height", "width"))
        found = Shortest(height) if size["height"] == size["width"] else Exact(height, width)
    return (Resize(found, _filter(settings)), *_cropped(settings))


def _levit(settings: Settings) -> Steps:
    if not settings.flag("do_resize"):
        return _plain(settings)
    size = _named(settings)
    if "shortest_edge" not in size:
        _require(size, "size", "height", "width")
        return _plain(settings)
    edge = int(LEVIT * size["shortest_edge"])
    return (Resize(Shortest(edge), _filter(settings)), *_cropped(settings))


def _textnet(settings: Settings) -> Steps:
    divisor = settings["size_divisor"]
    if type(divisor) is not int or divisor < 1:
        raise ValueError(f"size_divisor is {divisor!r}; a whole number from 1 is expected")
    if not settings.flag("do_resize"):
        return _plain(settings)
    size = _named(settings)
    _require(size, "size", "shortest_edge")
    found = Shortest(size["shortest_edge"], divisor=divisor)
    return (Resize(found, _filter(settings)), *_cropped(settings))


def _perceiver(settings: Settings) -> Steps:
    if not settings.flag("do_center_crop"):
        return _plain(settings)
    size, whole = _named(settings), settings.size("crop_size")
    _require(size, "size", "height", "width")
    _require(whole, "crop_size", "height", "width")
    shares = [size[name] / whole[name] for name in ("height", "width")]
    return (ShareCrop(*shares), *_resized(settings))


def _gemma3(settings: Settings) -> Steps:
    if settings.flag("do_pan_and_scan"):
        raise ValueError("do_pan_and_scan makes several images of one, which is not built")
    return _resized(settings)


def _clip(settings: Settings) -> Steps:
    if settings.processor.settings.get("use_square_size"):
        raise ValueError("use_square_size is on, which is not built")
    return _plain(settings)


def _donut(settings: Settings) -> Steps:
    size, is_list = _named(settings), isinstance(settings["size"], list)
    _require(size, "size", "height", "width")
    # Donut's lists name the width first.
    names = ("width", "height") if is_list else ("height", "width")
    height, width = (size[name] for name in names)
    resample = _filter(settings)
    switches = [settings.flag(key) for key in ("do_resize", "do_thumbnail", "do_pad")]
    cropped = _cropped(settings)
    if not all(switches):
        settings.ignore("do_align_long_axis")
        if cropped:
            raise ValueError(
                "do_center_crop is built with do_resize, do_thumbnail and do_pad alone"
            )
        return ()
    turns = settings.flag("do_align_long_axis") and height != width
    return (
        *((Turn(height > width),) if turns else ()),
        Resize(Shortest(min(height, width)), resample),
        Resize(Thumbnail(height, width), resample or BICUBIC),  # as the class has it: 0 is none
        Frame(height, width),
        *cropped,
    )


def _detr(settings: Settings) -> Steps:
    found = _resized(settings)
    if found and "shortest_edge" in _named(settings) and "longest_edge" not in _named(settings):
        raise ValueError("size names shortest_edge alone, which the class does not take")
    return found


def _dpt(settings: Settings) -> Steps:
    if settings["size_divisor"]:
        raise ValueError("size_divisor pads pictures, which is not built")
    if not settings.flag("do_resize"):
        settings.ignore("keep_aspect_ratio", "ensure_multiple_of")
        return _resized(settings)
    if settings.flag("keep_aspect_ratio"):
        raise ValueError("keep_aspect_ratio makes pictures of many sizes, which is not built")
    size, multiple = _named(settings), settings.number("ensure_multiple_of")
    _require(size, "size", "height", "width")
    height, width = (int(round(size[name] / multiple) * multiple) for name in ("height", "width"))
    return (Resize(Exact(height, width), _filter(settings)),)


# Classes of DETR's kind, which detect objects.
DETRS = (
    *("DetrImageProcessor", "YolosImageProcessor", "ConditionalDetrImageProcessor"),
    *("DeformableDetrImageProcessor", "RTDetrImageProcessor", "GroundingDinoImageProcessor"),
)
ANNOTATIONS = ("format", "do_convert_annotations")
READINGS: Mapping[str, Reading] = {
    **dict.fromkeys(DETRS, Reading(_detr, idle=(*CROP, *ANNOTATIONS))),
    "DPTImageProcessor": Reading(_dpt, idle=(*CROP, *PAD, *LABELS)),
    "plain": Reading(_plain),
    "BeitImageProcessor": Reading(_plain, idle=(*PAD, *LABELS)),
    "CLIPImageProcessor": Reading(_clip),
    "ConvNextImageProcessor": Reading(_convnext, idle=PAD),
    "DonutImageProcessor": Reading(_donut, idle=("pad_size",)),
    "EfficientNetImageProcessor": Reading(
        _plain,
        idle=PAD,
        offset=lambda settings: float(settings.flag("rescale_offset")),
        divides_again=lambda settings: settings.flag("include_top"),
    ),
    "Gemma3ImageProcessor": Reading(_gemma3, idle=(*CROP, *PAD, *PAN)),
    "LevitImageProcessor": Reading(_levit),
    "MobileNetV2ImageProcessor": Reading(_plain, idle=(*PAD, *LABELS)),
    "MobileViTImageProcessor": Reading(_plain, idle=(*PAD, *LABELS), normalizes=False, flips=True),
    "PerceiverImageProcessor": Reading(_perceiver, idle=PAD),
    "PoolFormerImageProcessor": Reading(_poolformer),
    "SegformerImageProcessor": Reading(_resized, idle=(*CROP, *PAD, *LABELS)),
    "TextNetImageProcessor": Reading(_textnet, idle=PAD),
}
