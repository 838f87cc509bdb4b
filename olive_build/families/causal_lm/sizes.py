"""What one forward of PyTorch says of a language model, as plain numbers: no torch here.

config.json has no name for it that all architectures share, and leaves out what equals the default
of a class. So nothing of it is read there: `torch_sizes` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Heads and the size of each.
Heads = tuple[int, int]


@dataclass(frozen=True)
class Sizes:
    """The keys and the values that each layer keeps, and what the model takes and gives.

    `positions` says whether it is given the positions of its tokens; a model that is not counts
    them itself, by the attention mask.
    """

    keys: tuple[Heads, ...]
    values: tuple[Heads, ...]
    vocabulary: int
    positions: bool

    @property
    def layers(self) -> int:
        """How many layers keep keys and values."""
        return len(self.keys)

    @property
    def caches(self) -> tuple[Heads, ...]:
        """Those of each cache in the order of the graph's inputs: key and value of each layer."""
        return tuple(one for pair in zip(self.keys, self.values, strict=True) for one in pair)

    @property
    def alike(self) -> bool:
        """Whether all caches have one shape, as ONNX Runtime's search operators want it."""
        return len(set(self.caches)) == 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sizes:
        def heads(name: str) -> tuple[Heads, ...]:
            return tuple((int(count), int(size)) for count, size in data[name])

        return cls(
            heads("keys"),
            heads("values"),
            int(data["vocabulary"]),
            bool(data["positions"]),
        )
