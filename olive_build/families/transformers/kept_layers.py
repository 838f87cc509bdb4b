"""Which layers of a stack a miniature keeps: one of each kind, and those that outputs are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The fields that say how long the lists are that tell something of each layer.
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "depth")
# With more values than this, a list tells no kinds.
MOST_KINDS = 4
CHOICES = ("out_features", "block_types")


@dataclass(frozen=True)
class KeptLayers:
    """The numbers of the layers that stay, of `before` layers."""

    before: int
    numbers: tuple[int, ...]
    count: int

    @property
    def dropped(self) -> bool:
        """Whether any layer goes."""
        return self.count < self.before

    def renumbered(self, numbers: Sequence[int]) -> list[int]:
        """Return which of the kept layers, counted anew, were among `numbers`."""
        wanted = set(numbers)
        return [new for new, old in enumerate(self.numbers) if old in wanted]

    def renamed(self, by_layer: Mapping[Any, Any]) -> dict[int, Any]:
        """Return what is told of single layers by number, of the kept ones, counted anew."""
        told = {int(number): value for number, value in by_layer.items()}
        return {new: told[old] for new, old in enumerate(self.numbers) if old in told}

    def last(self, count: int) -> list[int]:
        """Return the new numbers of the last `count` layers."""
        return list(range(max(0, self.count - count), self.count))


def kept_layers(
    fields: Mapping[str, Any], names: Mapping[str, frozenset[str]], at_least: int
) -> KeptLayers:
    """Return the layers that a miniature of a configuration keeps, `at_least` so many if it can."""
    taken = names["taps_from_0"] | names["taps_from_1"] | set(CHOICES)
    taps = [len(fields[n]) for n in taken if isinstance(fields.get(n), list | tuple)]
    least = max([1, at_least, *taps])
    before = next((fields[n] for n in COUNTS if _is_count(fields.get(n))), 0)
    if not before:
        return KeptLayers(0, (), least)
    numbers = _one_of_each_kind(fields, names["layer_numbers"], before)
    for number in range(before):
        if len(numbers) >= least:
            break
        numbers.add(number)
    return KeptLayers(before, tuple(sorted(numbers)), len(numbers))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _one_of_each_kind(fields: Mapping[str, Any], by_number: frozenset[str], count: int) -> set[int]:
    """Return the first layer of each kind, by every list that tells the kinds of layers."""
    kept: set[int] = set()
    for name, value in fields.items():
        if not isinstance(value, list | tuple):
            continue
        if name in by_number:
            kinds: list[Any] = [number in value for number in range(count)]
        elif len(value) == count and all(isinstance(item, str | int) for item in value):
            kinds = list(value)
        else:
            continue
        if len(set(kinds)) <= MOST_KINDS:
            kept |= {kinds.index(kind) for kind in set(kinds)}
    return kept
