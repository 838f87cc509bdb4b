"""Settings of a processor that fit a miniature: sizes of images, spectrograms, windows of sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from olive_build.families.transformers.shrink import IMAGE, meanings

# Files that a folder's processors are made of.
NAMES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
SIDES = ("height", "width", "shortest_edge", "longest_edge", "max_height", "max_width")
SIZES = ("size", "crop_size", "pad_size", "image_size")
# Networks that only convolve halve an image so often.
STEP = 32
FRAMES_A_SECOND, POSITIONS_A_SECOND = 100, 50


def small_processor(
    settings: Mapping[str, Any], small: Mapping[str, Any], whole: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a processor for the model of configuration `small`, out of `whole`."""
    changed = dict(_changed(small, whole))
    images = {old: new for name, (old, new) in changed.items() if name in meanings()["image_sizes"]}
    has_size = any(name in meanings()["image_sizes"] for name in _names(whole))
    return _Fitting(changed, images, has_size).fitted(settings)


class _Fitting:
    """Replaces sizes in a processor's settings, and in those of the processors within them."""

    def __init__(
        self, changed: Mapping[str, tuple[int, int]], images: Mapping[int, int], has_size: bool
    ) -> None:
        self.changed, self.images, self.has_size = changed, images, has_size

    def fitted(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        fitted = {name: self._value(name, value) for name, value in settings.items()}
        _, positions = self.changed.get("max_source_positions", (0, 0))
        if positions and "chunk_length" in fitted:
            seconds = positions // POSITIONS_A_SECOND
            rate = int(fitted.get("sampling_rate", 16000))
            fitted["chunk_length"] = seconds
            for name, count in (("n_samples", rate), ("nb_max_frames", FRAMES_A_SECOND)):
                if name in fitted:
                    fitted[name] = count * seconds
        return fitted

    def _value(self, name: str, value: Any) -> Any:
        if name in SIZES:
            return self._size(value)
        if isinstance(value, Mapping):
            return self.fitted(value)
        old, new = self.changed.get(name, (None, None))
        return new if old is not None and value == old else value

    def _size(self, size: Any) -> Any:
        """Return the size of an image: that of the model, or a small one where it takes any."""
        if isinstance(size, int) and not isinstance(size, bool):
            return self._side(size, size)
        if not isinstance(size, Mapping):
            return size
        sides = [size[name] for name in SIDES if isinstance(size.get(name), int)]
        longest = max(sides, default=0)
        return {
            name: self._side(value, longest) if name in SIDES and isinstance(value, int) else value
            for name, value in size.items()
        }

    def _side(self, side: int, longest: int) -> int:
        if side in self.images:
            return self.images[side]
        if self.has_size or longest <= IMAGE:
            return side
        return max(STEP, round(side * IMAGE / longest / STEP) * STEP)


def _changed(small: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the numbers that were changed, with what they were and what they are."""
    for name, old in whole.items():
        new = small.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed(new, old)
        elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
            for was, is_now in zip(old, new, strict=False):
                yield from _changed({name: is_now}, {name: was})
        elif isinstance(old, int) and isinstance(new, int) and old != new:
            yield name, (old, new)


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _names(value)
        elif value is not None:
            yield name
