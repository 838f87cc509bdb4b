"""Example inputs of any transformers model, from the signature of its forward and inputs.yaml.

Imported in worker processes only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import isqrt, prod
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from olive_build.errors import StepError
from olive_build.families.transformers.shrink import meanings

TABLE = Path(__file__).with_name("inputs.yaml")
# Where a configuration names no size, such as of networks that only convolve.
PIXELS = 64
LARGEST_COORDINATE = 1000
# Ids of examples: words, not the special tokens that come first.
FIRST_ID, LAST_ID = 5, 100
# A question, two separators, and the text that has the answer.
PAIRED = ("question-answering", "multiple-choice")


@dataclass(frozen=True)
class Setting:
    """Sizes of example inputs: lengths, and height and width as multiples of the model's own."""

    batch: int = 2
    sequence: int = 12
    decoder: int = 7
    height: float = 1.0
    width: float = 1.0
    samples: int = 8000
    frames: int = 100


# An axis is dynamic where its size differs between these.
SETTINGS = (
    Setting(),
    Setting(batch=3, sequence=17, decoder=9, height=1.5, width=2.0, samples=10210, frames=132),
    Setting(batch=1, sequence=5, decoder=2, height=1.0, width=1.5, samples=6005, frames=64),
)


@cache
def _table() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.load(TABLE.read_text("utf-8"), Loader=yaml.CSafeLoader)
    return loaded


def example_inputs(
    model: Any, task: str, setting: Setting, *, seed: int = 0, fixed_pixels: bool = False
) -> dict[str, Tensor]:
    """Return inputs of `model.forward` by name, in the order of its signature.

    Sizes are those of the setting and of the configuration. All rows but the first are padded at
    their end where there is a mask. Images have the model's own size with `fixed_pixels`. Raises
    StepError where no input that forward must have is known.
    """
    drawing = _Drawing(model, task, setting, seed, fixed_pixels)
    made = {
        name: drawing.drawn(rule)
        for name, rule in _rules(model, task).items()
        if drawing.is_given(rule)
    }
    if not made:
        raise _unknown(model, model.main_input_name)
    for name, parameter in inspect.signature(model.forward).parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in _NAMED
        if required and name not in made:
            raise _unknown(model, name)
    return made


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _unknown(model: Any, name: str) -> StepError:
    return StepError(
        f"no example can be made of the input '{name}'",
        where=type(model).__name__,
        why="nothing is known of its shape",
        hint=f"add the input to {TABLE.name}, under `models`, with its shape",
    )


def _rules(model: Any, task: str) -> dict[str, Mapping[str, Any]]:
    """Return the rules of the inputs that are given, in the order of forward's signature."""
    table = _table()
    known = inspect.signature(model.forward).parameters
    models = table["models"]
    exception = models.get(type(model).__name__) or models.get(model.config.model_type, {})
    groups = exception.get("groups") or table["tasks"].get(task) or _groups(model, known)
    rules: dict[str, Any] = {}
    if task in table["without_decoder"]:
        groups = [group for group in groups if group != "decoder"]
    for group in groups:
        # What two groups have, such as a mask, belongs to the first.
        rules = {**table["groups"].get(group, {}), **rules}
    rules |= exception.get("inputs", {})
    return {name: rules[name] for name in known if rules.get(name)}


def _groups(model: Any, known: Mapping[str, Any]) -> list[str]:
    main = model.main_input_name
    pair = [name for name in ("input_ids", "pixel_values") if name in known and name != main]
    together = main in ("input_ids", "pixel_values", "inputs_embeds")
    return [main, *(pair if together else ()), "decoder"]


class _Drawing:
    """Draws inputs of one model in one setting; equal seeds draw equal inputs."""

    def __init__(
        self, model: Any, task: str, setting: Setting, seed: int, fixed_pixels: bool
    ) -> None:
        self.config, self.task = model.config, task
        self.generator = torch.Generator().manual_seed(seed)
        self.sizes: dict[str, int] = {
            item.name: int(getattr(setting, item.name)) for item in fields(setting)
        }
        longest = field_of(self.config, "max_position_embeddings")
        if isinstance(longest, int) and longest > 0:
            self.sizes["sequence"] = min(self.sizes["sequence"], longest)
        height, width = _image_size(self.config)
        self.sizes["height"] = height if fixed_pixels else int(height * setting.height)
        self.sizes["width"] = width if fixed_pixels else int(width * setting.width)

    def is_given(self, rule: Mapping[str, Any]) -> bool:
        """Whether a rule's input is one that the configuration wants."""
        left_out = rule.get("unless", {}).items()
        if any(field_of(self.config, name) == value for name, value in left_out):
            return False
        return "needs" not in rule or bool(field_of(self.config, rule["needs"]))

    def drawn(self, rule: Mapping[str, Any]) -> Tensor:
        """Return a tensor of the rule's shape and values."""
        shape = tuple(self.size(text) for text in rule["shape"])
        draw: Callable[[tuple[int, ...]], Tensor] = getattr(self, f"_{rule['values']}")
        return draw(shape)

    def size(self, text: str | int) -> int:
        """Return the number that a size of a shape stands for. Raises StepError."""
        if isinstance(text, int):
            return text
        if " + " in text:
            return sum(self.size(part) for part in text.split(" + "))
        if " * " in text:
            first, second = text.split(" * ", 1)
            return self.size(first) * self.size(second)
        if " // " in text:
            first, second = text.split(" // ", 1)
            return self.size(first) // self.size(second)
        return int(text) if text.isdecimal() else self._named(text)

    def _named(self, name: str) -> int:
        if name in self.sizes:
            return self.sizes[name]
        for field in _table()["sizes"].get(name, [name]):
            value = field if isinstance(field, int) else field_of(self.config, field)
            if isinstance(value, list | tuple) and value:
                value = max(value)
            if isinstance(value, int):
                return value
        raise StepError(
            f"no example can be made of a size '{name}'",
            where=type(self.config).__name__,
            why="the configuration has no such field",
            hint=f"correct the shape in {TABLE.name}",
        )

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self.generator)

    def _points(self, shape: tuple[int, ...]) -> Tensor:
        return self._uniform(shape) * min(self.sizes["height"], self.sizes["width"])

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=torch.long)

    def _ones(self, shape: tuple[int, ...]) -> Tensor:
        return torch.ones(shape, dtype=torch.long)

    def _boxes(self, shape: tuple[int, ...]) -> Tensor:
        corners = torch.randint(
            0, LARGEST_COORDINATE // 2, (*shape[:-1], 2), generator=self.generator
        )
        return torch.cat([corners, corners + LARGEST_COORDINATE // 100], dim=-1)

    def _sides(self, shape: tuple[int, ...]) -> Tensor:
        """Return height and width of an image in patches, which has all that there are."""
        return torch.full(shape, isqrt(self.size("num_patches")))

    def _mask(self, shape: tuple[int, ...]) -> Tensor:
        lengths = torch.tensor(_lengths(prod(shape[:-1]), shape[-1]))
        return (torch.arange(shape[-1])[None] < lengths[:, None]).long().reshape(shape)

    def _ids(self, shape: tuple[int, ...]) -> Tensor:
        """Return words, the end of the text at the end of each row, and padding after it."""
        ids = self._words((prod(shape[:-1]), shape[-1]))
        end, pad = self._token("eos_token_id"), self._token("pad_token_id")
        between = self._token("sep_token_id") if self.task in PAIRED else None
        if between is not None:
            ids[:, 1:3] = between
        for row, length in zip(ids, _lengths(*ids.shape), strict=True):
            if end is not None:
                row[length - 1] = end
            if pad is not None:
                row[length:] = pad
        return ids.reshape(shape)

    def _decoder_ids(self, shape: tuple[int, ...]) -> Tensor:
        ids = self._words(shape)
        start = self._token("decoder_start_token_id")
        if start is not None:
            ids[:, 0] = start
        return ids

    def _words(self, shape: tuple[int, ...]) -> Tensor:
        vocabulary = self._vocabulary()
        special = {v for k, v in _flat(self.config.to_dict()) if k.endswith(("_id", "_index"))}
        usual = [n for n in range(FIRST_ID, min(vocabulary, LAST_ID)) if n not in special]
        known = torch.tensor(usual or range(vocabulary))
        return known[torch.randint(len(known), shape, generator=self.generator)]

    def _vocabulary(self) -> int:
        return field_of(self.config, "vocab_size") or LAST_ID

    def _token(self, name: str) -> int | None:
        value = field_of(self.config, name)
        value = value[0] if isinstance(value, list) and value else value
        return value if isinstance(value, int) and 0 <= value < self._vocabulary() else None


def _lengths(rows: int, length: int) -> list[int]:
    """Return how much of each row is no padding: all of the first, always less of the others."""
    step = max(1, length // 6)
    return [max(min(2, length), length - row * step) for row in range(rows)]


def _image_size(config: Any) -> tuple[int, int]:
    """Return height and width of a model's images in pixels."""
    for name in sorted(meanings()["image_sizes"]):
        size = field_of(config, name)
        if isinstance(size, list | tuple) and len(size) == 2:
            return int(size[0]), int(size[1])
        if isinstance(size, int) and size > 1:
            return size, size
    return PIXELS, PIXELS


def field_of(config: Any, name: str) -> Any:
    """Return a field of a configuration, or else of the first one within it that has it."""
    value = getattr(config, name, None)
    if value is not None:
        return value
    # Properties, such as that of a text model within, are no values of their own.
    inner = [item for item in vars(config).values() if hasattr(item, "to_dict")]
    found = (field_of(item, name) for item in inner)
    return next((value for value in found if value is not None), None)


def _flat(fields_of: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the whole numbers of a configuration and of those within it, with their names."""
    flat: list[tuple[str, Any]] = []
    for name, value in fields_of.items():
        if isinstance(value, dict):
            flat += _flat(value)
        elif isinstance(value, int) and isinstance(name, str):
            flat.append((name, value))
    return flat
