"""A small configuration out of any of transformers': same class and kinds of layers, small widths.

What the fields of configurations mean stands in miniatures.yaml, a list of names for each meaning,
with what single model types need besides. Imported in worker processes only.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedConfig

from olive_build.families.transformers.backbones import with_resnet
from olive_build.families.transformers.kept_layers import KeptLayers, kept_layers

TABLE = Path(__file__).with_name("miniatures.yaml")
WIDTH, HEADS, HEAD_WIDTH, INNER_WIDTH = 32, 4, 8, 64
# A stage's width is divided by so much, and stays a multiple of a head's.
STAGE_DIVISOR, GROUPS = 8, 8
VOCABULARY, SOURCE_POSITIONS = 160, 100
EXPERTS, CHOSEN_EXPERTS, WINDOW, QUERIES, IMAGE = 4, 2, 8, 10, 256
SPREAD, LAYER_SCALE, LEAST_ROTATED = 0.1, 1.0, 0.5
# What to_dict adds and the class does not take, and what weights of ours do not have.
NOT_GIVEN = ("transformers_version", "model_type", "_name_or_path", "quantization_config")
LAYERS_ALONE = ("layers", "layer_numbers", "taps_from_0", "taps_from_1")
FOLLOWING = ("hidden", "proj", "reassemble", "fusion", "embed", "output_channels", "in_channels")

Fields = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a miniature must keep: its vocabulary, and at least so many layers of each stack."""

    vocabulary: bool = False
    layers: int = 0


ANY = Wanted()


@cache
def table() -> Mapping[str, Any]:
    """Return what miniatures.yaml says."""
    loaded: Mapping[str, Any] = yaml.load(TABLE.read_text("utf-8"), Loader=yaml.CSafeLoader)
    return loaded


@cache
def meanings() -> Mapping[str, frozenset[str]]:
    """Return the names of the fields of each meaning."""
    return {meaning: frozenset(names) for meaning, names in table()["meanings"].items()}


def small_config(config: PreTrainedConfig, wanted: Wanted = ANY) -> PreTrainedConfig:
    """Return a configuration of the same class with few layers, small widths and sizes.

    Raises what the class does for fields that do not fit each other.
    """
    whole = with_resnet(config.to_dict())
    small = _small(whole, wanted)
    _follow(small, whole, _changed_widths(small, whole))
    return _of_class(config, small)


def config_of_few_layers(config: PreTrainedConfig, wanted: Wanted = ANY) -> PreTrainedConfig:
    """Return a configuration that differs in the number of layers alone. Raises as above."""
    return _of_class(config, _few_layers(with_resnet(config.to_dict()), wanted))


def _of_class(config: PreTrainedConfig, fields: Fields) -> PreTrainedConfig:
    given = {name: value for name, value in fields.items() if name not in NOT_GIVEN}
    return type(config)(**{**given, "dtype": "float32"})


def _small(whole: Fields, wanted: Wanted) -> Fields:
    """Return the fields of one configuration, and of those within it, made small."""
    exception = table()["models"].get(whole.get("model_type"), {})
    if exception.get("keep") == "all":
        return copy.deepcopy(whole)
    fields = _few_layers(whole, wanted, within=_small)
    heads = _first_number(whole, "heads")
    for name, value in fields.items():
        if _is_configuration(name, value):
            continue
        if _is_number(value):
            fields[name] = _small_number(name, value, whole, heads, wanted)
        elif isinstance(value, float) and value > 0:
            fields[name] = _large_enough(name, value)
        elif isinstance(value, list | tuple) and value:
            fields[name] = _small_list(name, list(value), whole)
    _fit_heads(fields)
    if not wanted.vocabulary:
        _fit_tokens(fields)
    _fit_rotations(fields)
    for name in exception.get("keep", ()):
        fields[name] = whole[name]
    return _merged(fields, exception.get("set", {}))


def _few_layers(whole: Fields, wanted: Wanted, within: Any = None) -> Fields:
    """Return the fields with few layers, of each kind at least one; the rest stays as it is."""
    within = within or _few_layers
    fields = {
        name: within(value, wanted) if _is_configuration(name, value) else copy.deepcopy(value)
        for name, value in whole.items()
    }
    names = meanings()
    stages = [n for n in names["depths"] if _is_list_of_numbers(fields.get(n))]
    for name in stages:
        fields[name] = [min(count, max(1, wanted.layers)) for count in fields[name]]
    if stages:
        # Their sum, which the class counts by itself.
        for name in ("num_layers", "num_hidden_layers"):
            fields.pop(name, None)
        return fields
    kept = kept_layers(whole, names, wanted.layers)
    for name in names["layers"] & fields.keys():
        if _is_number(fields[name]):
            fields[name] = min(fields[name], kept.count)
    if names["queries"] & fields.keys() and _is_number(fields.get("decoder_layers")):
        # Detectors tie the heads of their decoder's layers, which takes two of them.
        fields["decoder_layers"] = max(fields["decoder_layers"], min(2, whole["decoder_layers"]))
    return _without_layers(fields, kept)


def _without_layers(fields: Fields, kept: KeptLayers) -> Fields:
    """Return the fields with the lists that tell something of each layer cut to the kept ones."""
    names = meanings()
    if not kept.dropped:
        return fields
    for name, value in fields.items():
        if not isinstance(value, list | tuple):
            continue
        if name in names["layer_numbers"]:
            fields[name] = kept.renumbered(value)
        elif name in names["taps_from_0"]:
            fields[name] = kept.last(len(value))
        elif name in names["taps_from_1"]:
            fields[name] = [number + 1 for number in kept.last(len(value))]
        elif len(value) == kept.before:
            fields[name] = [value[number] for number in kept.numbers]
    if isinstance(fields.get("per_layer_config"), dict):
        fields["per_layer_config"] = kept.renamed(fields["per_layer_config"])
    # Made anew from the numbers.
    for name in ("out_features", "stage_names"):
        fields.pop(name, None)
    return fields


def _small_number(name: str, value: int, whole: Fields, heads: int | None, wanted: Wanted) -> int:
    names = meanings()
    if name in names["key_value_heads"]:
        return _key_value_heads(value, heads)
    if name in names["image_sizes"]:
        return small_image(value, whole.get("patch_size"))
    if name.endswith("vocab_size") and name != "type_vocab_size":
        return value if wanted.vocabulary else min(value, VOCABULARY)
    most = {
        "heads": HEADS,
        "head_widths": HEAD_WIDTH,
        "double_head_widths": 2 * HEAD_WIDTH,
        "widths": WIDTH,
        "inner_widths": INNER_WIDTH,
        "source_positions": SOURCE_POSITIONS,
        "rotary_widths": HEAD_WIDTH // 2,
        "experts": EXPERTS,
        "chosen_experts": CHOSEN_EXPERTS,
        "expert_groups": 1,
        "text_windows": WINDOW,
        "queries": QUERIES,
    }
    limits = [limit for meaning, limit in most.items() if name in names[meaning]]
    if name == "num_groups" and value == WIDTH:
        limits.append(GROUPS)
    if limits and "heads" not in name:
        return min(value, *limits)
    return _heads(value) if name in names["heads"] else min([value, *limits])


def _heads(count: int) -> int:
    """Return at most four heads, a number that the width is a multiple of."""
    return max(heads for heads in (1, 2, HEADS) if heads <= max(1, count))


def _key_value_heads(count: int, heads: int | None) -> int:
    """Return as many as there are heads, two, or one, as the model shares them."""
    if count <= 1 or heads is None:
        return count
    fewer = _heads(heads)
    return fewer if count >= heads else max(1, fewer // 2)


def small_image(size: int, patch: Any) -> int:
    """Return the side of a miniature's images in pixels: at most 256, whole patches."""
    step = max(patch) if isinstance(patch, list | tuple) else patch
    step = step if isinstance(step, int) and 0 < step <= IMAGE else 1
    return size if size <= IMAGE else step * (IMAGE // step)


def _large_enough(name: str, value: float) -> float:
    names = meanings()
    if name in names["spreads"]:
        return max(value, SPREAD)
    return LAYER_SCALE if name in names["layer_scales"] else value


def _small_list(name: str, value: list[Any], whole: Fields) -> list[Any]:
    names = meanings()
    if not _is_list_of_numbers(value):
        return value
    if name in names["image_sizes"]:
        return [small_image(size, whole.get("patch_size")) for size in value]
    if name in names["even_widths"]:
        return [WIDTH] * len(value)
    if name in names["text_windows"]:
        return [min(window, WINDOW) for window in value]
    if name in names["stage_widths"]:
        return [_stage_width(width) for width in value]
    return value


def _stage_width(width: int) -> int:
    step = STAGE_DIVISOR * HEAD_WIDTH
    return HEAD_WIDTH * max(1, -(-width // step))


def _fit_heads(fields: Fields) -> None:
    """Make widths of stages multiples of their heads, where the heads are told by stage."""
    for heads in ("num_attention_heads", "num_heads"):
        counts = fields.get(heads)
        if not _is_list_of_numbers(counts):
            continue
        assert counts is not None
        for widths in ("hidden_sizes", "embed_dim"):
            if isinstance(fields.get(widths), list) and len(fields[widths]) == len(counts):
                fields[widths] = [HEAD_WIDTH * count for count in counts]
        if isinstance(fields.get("embed_dim"), int):
            fields["embed_dim"] = HEAD_WIDTH * counts[0]
            # Counted from it.
            fields.pop("hidden_size", None)


def _fit_tokens(fields: Fields) -> None:
    """Move the tokens that have a meaning into the small vocabulary, each to its own place."""
    free = iter(range(VOCABULARY - 1, 0, -1))
    first = {"pad_token_id": 0, "bos_token_id": 1, "decoder_start_token_id": 1, "eos_token_id": 2}
    for name, value in fields.items():
        if not name.endswith(("_id", "_index")) or "ignore" in name:
            continue
        if _is_number(value) and value >= VOCABULARY:
            fields[name] = first[name] if name in first else next(free)
        elif name == "eos_token_id" and isinstance(value, list):
            fields[name] = first[name]


def _fit_rotations(fields: Fields) -> None:
    """Make the factors of rotary positions as long as a head is wide."""
    ropes = fields.get("rope_parameters") or {}
    for rope in (fields, ropes, *(item for item in ropes.values() if isinstance(item, dict))):
        if isinstance(rope.get("partial_rotary_factor"), float):
            rope["partial_rotary_factor"] = max(rope["partial_rotary_factor"], LEAST_ROTATED)
        if "mrope_section" in rope:
            rope["mrope_section"] = [2, 1, 1]
        for name in ("short_factor", "long_factor"):
            if name in rope:
                rope[name] = [1.0] * (HEAD_WIDTH // 2)


def _changed_widths(small: Fields, whole: Fields) -> dict[int, int]:
    """Return the widths that were made small, of all configurations, by what they were."""
    widths: dict[int, int] = {}
    for name, new, old in _pairs(small, whole):
        if isinstance(new, dict):
            widths |= _changed_widths(new, old)
        elif name in meanings()["widths"] and _is_number(new) and _is_number(old) and new != old:
            widths[old] = new
    return widths


def _follow(small: Fields, whole: Fields, widths: Mapping[int, int]) -> None:
    """Change the fields that name a width of another part, such as a projector's, along with it."""
    for name, new, old in _pairs(small, whole):
        if isinstance(new, dict):
            _follow(new, old, widths)
        elif new != old or not any(part in name for part in FOLLOWING) or "max_" in name:
            continue
        elif _is_number(new) and new in widths and new > INNER_WIDTH:
            small[name] = widths[new]
        elif _is_list_of_numbers(new) and all(item in widths for item in new):
            small[name] = [widths[item] for item in new]


def _pairs(small: Fields, whole: Fields) -> Iterator[tuple[str, Any, Any]]:
    for name, new in list(small.items()):
        old = whole.get(name)
        if isinstance(new, dict) and not (_is_configuration(name, new) and isinstance(old, dict)):
            continue
        yield name, new, old


def _first_number(fields: Fields, meaning: str) -> int | None:
    found = (fields.get(name) for name in table()["meanings"][meaning])
    return next((value for value in found if _is_number(value) and value), None)


def _is_configuration(name: Any, value: Any) -> bool:
    """Whether a field holds a configuration; what is told by number of layer is none."""
    if not isinstance(value, dict) or name == "per_layer_config":
        return False
    return "model_type" in value or str(name).endswith("_config")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and _all_numbers(value)


def _all_numbers(values: Iterable[Any]) -> bool:
    return all(_is_number(value) for value in values)


def _merged(fields: Fields, changes: Mapping[str, Any]) -> Fields:
    """Return fields with changes, which go into configurations within."""
    for name, value in changes.items():
        inner = fields.get(name)
        is_both = isinstance(value, dict) and isinstance(inner, dict)
        fields[name] = _merged(inner, value) if is_both and inner is not None else value
    return fields
