"""The quantization methods that a recipe may name, and what each of their knobs does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from olive_build.recipe.build import DynamicInt8, Fp16, Quantize, WeightOnly


class Strict(BaseModel):
    """Base of all that a recipe may hold: unknown fields and near-miss types are errors."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False
    )


_EXCLUDE = Field(
    default=(),
    description="Nodes whose names match one of these shell patterns stay in fp32; a pattern "
    "that matches none fails the build.",
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
    # Measured with all-MiniLM-L6-v2, single and in padded batches: without it cosine_p1 .980 and
    # mean .9915, after activations .986 and .9948 for 0 to 8 % of the time, all .988 and .9964
    # for 20 %.
    per_token: Literal["none", "after-activations", "all"] = Field(
        default="after-activations",
        description="Which matrix products scale every token by its own largest value before "
        "they are quantized: those that an activation function feeds, all, or none. Much closer "
        "to the original, in padded batches above all, for a few percent of the time.",
    )
    operators: tuple[str, ...] | None = Field(
        default=None,
        description="Quantize only these ONNX operators, such as MatMul; the others stay in fp32. "
        "Left out, all that can be.",
    )
    exclude: tuple[str, ...] = _EXCLUDE


class WeightOnlySpec(Strict):
    """Weights in 4 or 8 bits, block by block: the smallest files; arithmetic stays in float."""

    method: Literal["weight-only"] = Field(description="Low-bit weights, float arithmetic.")
    algorithm: Literal["rtn", "k-quant"] = Field(
        default="rtn",
        description="rtn rounds to nearest; k-quant searches the scale of each block, which is "
        "slower to build and leaves embeddings in fp32.",
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
        "For rtn; k-quant always has zero points.",
    )
    accuracy_level: Literal[0, 1, 2, 3, 4] = Field(
        default=0,
        description="What the runtime may compute in: 0 leaves it to the runtime, 4 is int8, "
        "faster on CPUs, wrong in WebAssembly and so refused for web.",
    )
    embeddings: bool = Field(
        default=True,
        description="Quantize lookup tables too, which are a large part of a small model; false "
        "keeps them in fp32. For rtn; k-quant always keeps them.",
    )
    exclude: tuple[str, ...] = _EXCLUDE


class Fp16Spec(Strict):
    """Half precision: half the size; the arithmetic of GPUs and NPUs."""

    method: Literal["fp16"] = Field(description="Weights and arithmetic in half precision.")
    keep_io_types: bool = Field(
        default=True,
        description="Inputs and outputs stay fp32, so callers need not change; false makes them "
        "fp16.",
    )
    exclude_operators: tuple[str, ...] = Field(
        default=(),
        description="ONNX operators that stay in fp32, such as those that overflow in fp16.",
    )


QuantizeSpec = Annotated[DynamicInt8Spec | WeightOnlySpec | Fp16Spec, Field(discriminator="method")]
METHODS: dict[str, type[Strict]] = {
    "dynamic-int8": DynamicInt8Spec,
    "weight-only": WeightOnlySpec,
    "fp16": Fp16Spec,
}
_BUILT: dict[str, type[DynamicInt8 | WeightOnly | Fp16]] = {
    "dynamic-int8": DynamicInt8,
    "weight-only": WeightOnly,
    "fp16": Fp16,
}


def written(spec: Strict | None) -> dict[str, Any]:
    """Return the fields that the recipe itself gives."""
    return spec.model_dump(exclude_unset=True) if spec is not None else {}


def layered(layers: list[dict[str, Any]], method: str | None) -> Quantize | None:
    """Return the method's settings from `layers`, later ones winning; others' are passed over."""
    if method is None:
        return None
    fields: dict[str, Any] = {"method": method}
    for layer in layers:
        if layer.get("method") == method:
            fields |= layer
    return _BUILT[method](**METHODS[method](**fields).model_dump())


def precision_of(quantize: Quantize | None) -> str:
    """Return the precision that a method gives: fp32, fp16, int8, weight-int8 or int4."""
    if quantize is None:
        return "fp32"
    if isinstance(quantize, WeightOnly):
        return "int4" if quantize.bits == 4 else "weight-int8"
    return "int8" if isinstance(quantize, DynamicInt8) else "fp16"
