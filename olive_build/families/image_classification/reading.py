"""From a processor's settings to the steps that prepare a picture. Light.

Closed: a key that a class takes is read, or said to do nothing, or has the class's default value;
otherwise the processor is refused by the key's name.
"""

from __future__ import annotations

from dataclasses import replace

from olive_build.families.image_classification.geometry import READINGS, Reading
from olive_build.families.image_classification.preparation import (
    Crop,
    Exact,
    Frame,
    Preparation,
    Resize,
    Shortest,
    Step,
    Within,
)
from olive_build.families.image_classification.processor import IDLE, Processor, Settings, refused

CHANNELS = 3
# The order in which a picture's bytes come anyhow.
AS_IT_IS = ("data_format", "channels_first")


def preparation_of(
    processor: Processor, channels: int, size: tuple[int, int] | None
) -> Preparation:
    """Return what a processor does to pictures of `channels`, 1 or 3.

    `size` is the height and width that the model's configuration names, if it does: that of
    pictures which are not resized. Raises PlanError, naming the key, for what is not built.
    """
    try:
        prepared = _read(processor, channels, size)
    except ValueError as error:
        raise refused(processor.where, f"{processor.kind}: {error}") from error
    name = processor.where.name
    notes = list(prepared.notes)
    if processor.unknown:
        keys = ", ".join(processor.unknown)
        notes.append(f"{name} has keys that {processor.kind} does not take: {keys}")
    idle = [key for key in sorted(processor.given) if _is_idle(processor, key, prepared, size)]
    if idle:
        notes.append(f"nothing comes of these keys of {name}: {', '.join(idle)}")
    return replace(prepared, notes=tuple(notes))


def _is_idle(
    processor: Processor, key: str, prepared: Preparation, size: tuple[int, int] | None
) -> bool:
    """Whether a key has a value of its own and pictures would be the same without it."""
    value, default = processor.given[key], processor.defaults[key]
    if value == default or not (value or default) or (key, value) == AS_IT_IS:
        return False
    try:
        return _read(processor.without(key), len(prepared.mean), size) == prepared
    except ValueError:
        return False


def _read(processor: Processor, channels: int, size: tuple[int, int] | None) -> Preparation:
    plain = None if processor.own else READINGS["plain"]
    reading = READINGS.get(processor.kind, plain)
    if reading is None:
        methods = ", ".join(processor.own)
        raise ValueError(f"the class has code of its own ({methods}), which is not read here")
    _require_complete(processor)
    settings = Settings(processor)
    settings.ignore(*IDLE, *reading.idle)
    if settings.flag("do_convert_rgb") and channels != CHANNELS:
        raise ValueError(f"do_convert_rgb makes {CHANNELS} channels, and the model has {channels}")
    steps, height, width, notes = _fitted(settings, reading.steps(settings), size)
    _require_padded(settings, height, width)
    scaled = _numbers(settings, reading, channels)
    flips = reading.flips and settings.flag("do_flip_channel_order")
    for key, value in sorted(processor.given.items()):
        if key not in settings.asked and value != processor.defaults[key]:
            raise ValueError(f"{key} is {value!r}, which is not built")
    return Preparation(steps, height, width, *scaled, flips, notes)


def _require_complete(processor: Processor) -> None:
    """Raise ValueError where transformers would: a switch is on, and what it needs is not there."""
    settings = Settings(processor)
    for switch, needed in (
        ("do_resize", ("size", "resample")),
        ("do_center_crop", ("crop_size",)),
        ("do_normalize", ("image_mean", "image_std")),
    ):
        for key in needed:
            if settings.flag(switch) and settings[key] is None:
                raise ValueError(f"{switch} is on and there is no {key}")


def _fitted(
    settings: Settings, steps: tuple[Step, ...], size: tuple[int, int] | None
) -> tuple[tuple[Step, ...], int, int, tuple[str, ...]]:
    """Return the steps, height and width of what they end in, and what is told of it.

    Where that depends on the picture, only pictures which the steps leave alone are taken, and
    no step remains.
    """
    last = steps[-1] if steps else None
    end = last.size if isinstance(last, Resize) else last
    if isinstance(end, Exact | Crop | Frame):
        return steps, end.height, end.width, ()
    if not all(isinstance(step, Resize) for step in steps):
        raise ValueError("do_center_crop leaves pictures of many sizes, and do_resize is off")
    left_alone = end if isinstance(end, Shortest | Within) else None
    height, width = _square(left_alone) if left_alone else size or _square(_size_of(settings))
    note = f"pictures are taken as {height} x {width} and no others: nothing makes all of one size"
    return (), height, width, (note,)


def _size_of(settings: Settings) -> Exact | Shortest:
    """Return the size that is named though nothing is resized."""
    named = settings.size("size", square=settings.flag("default_to_square"))
    if "shortest_edge" in named:
        return Shortest(named["shortest_edge"])
    if "height" not in named or "width" not in named:
        raise ValueError(
            "do_resize is off, and neither config.json nor `size` names height and width"
        )
    return Exact(named["height"], named["width"])


def _square(size: Exact | Shortest | Within) -> tuple[int, int]:
    """Return height and width of the pictures that a size leaves alone."""
    if isinstance(size, Shortest):
        edge = -(-size.edge // size.divisor) * size.divisor
        return edge, edge
    return size.height, size.width


def _require_padded(settings: Settings, height: int, width: int) -> None:
    """Raise ValueError where pixels are padded, which is built where there is nothing to pad."""
    if settings.flag("do_pad") and settings["pad_size"] is not None:
        wanted = settings.size("pad_size")
        if wanted != {"height": height, "width": width}:
            raise ValueError(f"pad_size is {wanted!r}, and pictures are {height} x {width} before")


def _numbers(
    settings: Settings, reading: Reading, channels: int
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Return rescale, mean and std; what comes before and after the usual two goes into these."""
    factor, offset = settings.number("rescale_factor"), reading.offset(settings)
    if not factor:
        raise ValueError("rescale_factor is 0, which makes all pictures alike")
    again = reading.divides_again(settings)
    normalizes = settings.flag("do_normalize") and reading.normalizes
    mean, std = (0.0,) * channels, (1.0,) * channels
    if normalizes:
        mean = _by_channel(settings, "image_mean", channels)
        std = _by_channel(settings, "image_std", channels)
    if settings.flag("do_rescale"):
        mean = tuple(value + offset for value in mean)
    if again:
        divisors = _by_channel(settings, "image_std", channels)
        std = tuple(one * other for one, other in zip(std, divisors, strict=True))
    settings.ignore("image_mean", "image_std")
    return (factor if settings.flag("do_rescale") else 1.0), mean, std


def _by_channel(settings: Settings, key: str, channels: int) -> tuple[float, ...]:
    """Return a number for each channel: one for all of them, or as many as there are."""
    given = settings[key]
    values = given if isinstance(given, list) else [given] * channels
    if not all(isinstance(value, int | float) for value in values):
        raise ValueError(f"{key} is {given!r}; numbers are expected")
    if len(values) != channels:
        raise ValueError(f"{key} has {len(values)} numbers, and images have {channels} channels")
    if key == "image_std" and not all(values):
        raise ValueError(f"{key} has a zero, by which nothing can be divided")
    return tuple(map(float, values))
