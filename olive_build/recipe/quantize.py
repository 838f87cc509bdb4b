"""The quantization methods that a recipe may name, and what each of their knobs does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from olive_build.recipe.build import (
    Auto,
    BlockWeights,
    DynamicInt8,
    Fp16,
    Quantize,
    StaticInt8,
    StoredInt8,
    WeightOnly,
)


class Strict(BaseModel):
    """Base of all that a recipe may hold: unknown fields and near-miss types are errors."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False
    )


_EXCLUDE: Any = Field(
    default=(),
    description="Nodes whose names match one of these shell patterns stay in fp32; a pattern "
    "that matches none fails the build.",
)


_SMOOTH: Any = Field(
    default=False,
    description="true moves channels with outliers from activations into weights before they are "
    "quantized, as far as that lowers the error on the calibration inputs. Exact in fp32.",
)
_ROUNDING: Any = Field(
    default="nearest",
    description="nearest rounds each weight by itself; gptq chooses them together, by the error "
    "of the layer's output on the calibration inputs: closer, as small and as fast, and slower to "
    "build.",
)
_KEEP_IO_TYPES: Any = Field(
    default=True,
    description="Of what becomes fp16, inputs and outputs stay fp32, so that callers need not "
    "change; false makes them fp16 too, which models with caches do by default.",
)
_OPERATORS: Any = Field(
    default=None,
    description="Quantize only these ONNX operators, such as MatMul; the others stay in fp32. "
    "Left out, all that can be.",
)


class BlockWeightsSpec(Strict):
    """Some matrix products with more exact weights than the method's own."""

    nodes: tuple[str, ...] = Field(
        description="Shell patterns of node names; one that matches none fails the build."
    )
    bits: Literal[4, 8] = Field(default=8, description="8 is close to fp32; 4 is small.")
    block_size: Literal[16, 32, 64, 128] = Field(
        default=128, description="How many weights share a scale: fewer is more exact, and larger."
    )


class DynamicInt8Spec(Strict):
    """int8 weights, activations quantized while running: small and fast on CPUs, no data needed."""

    method: Literal["dynamic-int8"] = Field(description="int8 weights and int8 arithmetic.")
    per_channel: bool = Field(
        default=True,
        description="One scale per output channel in place of one per tensor: closer to the "
        "original, and a little larger.",
    )
    weight_type: Literal["int8", "uint8"] = Field(
        default="int8",
        description="How weights are stored: int8 round zero, uint8 with zero points.",
    )
    reduce_range: bool = Field(
        default=False,
        description="true keeps weights to 7 bits, so that sums cannot overflow on x86 CPUs "
        "without VNNI; a little less exact elsewhere.",
    )
    smooth: bool = _SMOOTH
    # Measured with all-MiniLM-L6-v2, single and in padded batches: without it cosine_p1 .980 and
    # mean .9915, after activations .986 and .9948 for 0 to 8 % of the time, all .988 and .9964
    # for 20 %.
    per_token: Literal["none", "after-activations", "all"] | tuple[str, ...] = Field(
        default="after-activations",
        description="Which matrix products scale every token by its own largest value before "
        "they are quantized: those that an activation function feeds, all, none, or a list of "
        "shell patterns of node names. Much closer to the original, in padded batches above all, "
        "for a few percent of the time.",
    )
    gelu: Literal["exact", "tanh"] = Field(
        default="exact",
        description="tanh computes fused Gelus by their usual approximation, off by at most 5e-4, "
        "and saves 2 to 4 % of the time.",
    )
    rounding: Literal["nearest", "gptq"] = _ROUNDING
    embeddings: Literal["per-row", "per-tensor", "fp32"] = Field(
        default="per-row",
        description="How lookup tables are kept: int8 with a scale for each row, int8 with one "
        "for the table, or as they are. Per row is as good as free of loss.",
    )
    operators: tuple[str, ...] | None = _OPERATORS
    exclude: tuple[str, ...] = _EXCLUDE
    overrides: tuple[BlockWeightsSpec, ...] = Field(
        default=(),
        description="Products that keep more exact weights, in blocks, with int8 arithmetic on "
        "CPUs: what a search promotes first when int8 is not close enough.",
    )


class StaticInt8Spec(Strict):
    """int8 weights and activations by ranges from calibration: NPUs, and convolutions on CPUs."""

    method: Literal["static-int8"] = Field(
        description="QuantizeLinear and DequantizeLinear with fixed ranges (QDQ)."
    )
    activations: Literal["uint8", "uint16"] = Field(
        default="uint8",
        description="uint8 is fast everywhere; uint16 is far closer to the original, for NPUs.",
    )
    weights: Literal["int8", "uint8"] = Field(
        default="int8",
        description="How weights are stored: int8 round zero, uint8 with zero points.",
    )
    per_channel: bool = Field(
        default=True,
        description="One scale per output channel in place of one per tensor: closer to the "
        "original, and a little larger.",
    )
    calibration: Literal["min-max", "percentile"] = Field(
        default="min-max",
        description="min-max keeps every value that was seen; percentile clips the rarest.",
    )
    percentile: float = Field(
        default=99.99,
        description="How much of the values is kept by `calibration: percentile`, in percent.",
    )
    smooth: bool = _SMOOTH
    rounding: Literal["nearest", "gptq"] = _ROUNDING
    operators: tuple[str, ...] | None = _OPERATORS
    exclude: tuple[str, ...] = _EXCLUDE


class WeightOnlySpec(Strict):
    """Weights in 4 or 8 bits, block by block: the smallest files; arithmetic stays in float."""

    method: Literal["weight-only"] = Field(description="Low-bit weights, float arithmetic.")
    algorithm: Literal["rtn", "k-quant", "gptq"] = Field(
        default="rtn",
        description="rtn rounds to nearest; k-quant searches the scale of each block; gptq "
        "chooses the weights of a layer together, by calibration inputs. The last two are closer, "
        "and slower to build.",
    )
    bits: Literal[4, 8] = Field(
        default=4, description="8 is close to fp32; 4 takes about half of that."
    )
    block_size: Literal[16, 32, 64, 128] = Field(
        default=32,
        description="How many weights share a scale: fewer is more exact, and a larger file.",
    )
    # Measured with all-MiniLM-L6-v2, 4 bits in blocks of 32: without zero points cosine_p1 falls
    # by .013 to .019 with the sentences, to below the shipped floor; the file is 2.5 % smaller.
    symmetric: bool = Field(
        default=False,
        description="true leaves out the zero point of each block: 2.5 % smaller and less exact. "
        "Not with k-quant, which always has zero points.",
    )
    accuracy_level: Literal[0, 1, 2, 3, 4] | None = Field(
        default=None,
        description="What the runtime may compute in: 0 leaves it to the runtime, 4 is int8, "
        "faster on CPUs, wrong in WebAssembly and so refused for web. Left out, the lowest that "
        "the provider has a kernel for: on CPUs 0 with 4 bits and 4 with 8.",
    )
    embeddings: bool = Field(
        default=True,
        description="Quantize lookup tables too, which are a large part of a small model; false "
        "keeps them in fp32.",
    )
    convolutions: bool = Field(
        default=True,
        description="Store the weights of convolutions in 8 bits too, one scale per channel; they "
        "are computed in float.",
    )
    smooth: bool = _SMOOTH
    exclude: tuple[str, ...] = _EXCLUDE
    overrides: tuple[BlockWeightsSpec, ...] = Field(
        default=(), description="Products with other bits or block sizes than the rest."
    )
    activations: Literal["fp32", "fp16"] = Field(
        default="fp32",
        description="fp16 stores all that is left, and computes, in half precision: for GPUs.",
    )
    keep_io_types: bool = _KEEP_IO_TYPES


class StoredInt8Spec(Strict):
    """int8 in the file, fp32 once it is loaded: a quarter of the download, fp32's speed and memory.

    For WebAssembly, where int8 arithmetic is slower than that of fp32.
    """

    method: Literal["stored-int8"] = Field(
        description="int8 weights with a scale for each channel, expanded when the file is loaded."
    )
    exclude: tuple[str, ...] = _EXCLUDE


class Fp16Spec(Strict):
    """Half precision: half the size; the arithmetic of GPUs and NPUs."""

    method: Literal["fp16"] = Field(description="Weights and arithmetic in half precision.")
    keep_io_types: bool = _KEEP_IO_TYPES
    exclude_operators: tuple[str, ...] = Field(
        default=(),
        description="ONNX operators that stay in fp32, such as those that overflow in fp16.",
    )
    exclude: tuple[str, ...] = _EXCLUDE


class AutoSpec(Strict):
    """The method is searched: the fastest that holds the variant's budgets. Or just `auto`."""

    method: Literal["auto"] = Field(description="Searched when the recipe is built.")
    max_minutes: float = Field(
        default=10.0,
        description="How long the search may take; what it has measured before is not measured "
        "again.",
    )
    seed: int = Field(default=0, description="Another seed breaks ties another way.")


QuantizeSpec = Annotated[
    DynamicInt8Spec | StaticInt8Spec | WeightOnlySpec | StoredInt8Spec | Fp16Spec | AutoSpec,
    Field(discriminator="method"),
]
METHODS: dict[str, type[Strict]] = {
    "dynamic-int8": DynamicInt8Spec,
    "static-int8": StaticInt8Spec,
    "weight-only": WeightOnlySpec,
    "stored-int8": StoredInt8Spec,
    "fp16": Fp16Spec,
    "auto": AutoSpec,
}
_BUILT: dict[str, type[Quantize]] = {
    "dynamic-int8": DynamicInt8,
    "static-int8": StaticInt8,
    "weight-only": WeightOnly,
    "stored-int8": StoredInt8,
    "fp16": Fp16,
    "auto": Auto,
}


def written(spec: Strict | None) -> dict[str, Any]:
    """Return the fields that the recipe itself gives."""
    return spec.model_dump(exclude_unset=True) if spec is not None else {}


def layered(
    layers: list[dict[str, Any]], method: str | None, level: Callable[[int], int] = lambda bits: 0
) -> Quantize | None:
    """Return the method's settings from `layers`, later ones winning; others' are passed over.

    `level` gives the accuracy level of blocks by their bits, where no layer does.
    """
    if method is None:
        return None
    fields: dict[str, Any] = {"method": method}
    for layer in layers:
        if layer.get("method") == method:
            fields |= layer
    settings = METHODS[method](**fields).model_dump()
    if "overrides" in settings:
        settings["overrides"] = tuple(BlockWeights(**entry) for entry in settings["overrides"])
    if settings.get("accuracy_level", 0) is None:
        settings["accuracy_level"] = level(settings["bits"])
    return _BUILT[method](**settings)


def unwritten(layers: list[dict[str, Any]], quantize: Quantize | None) -> tuple[str, ...]:
    """Return the fields of a method that none of the recipe's own `layers` gives."""
    if quantize is None:
        return ()
    own = [layer for layer in layers if layer.get("method") == quantize.method]
    return tuple(f.name for f in fields(quantize) if not any(f.name in layer for layer in own))


def precision_of(quantize: Quantize | None) -> str:
    """Return the precision of a method: fp32, fp16, int8, w8a8, w8a16, weight-int8 or int4.

    What a search finds is int8 in one form or another, so `auto` counts as int8.
    """
    match quantize:
        case None:
            return "fp32"
        case WeightOnly():
            return "int4" if quantize.bits == 4 else "weight-int8"
        case StoredInt8():
            return "weight-int8"
        case StaticInt8():
            return "w8a8" if quantize.activations == "uint8" else "w8a16"
        case Fp16():
            return "fp16"
        case DynamicInt8() | Auto():
            return "int8"
