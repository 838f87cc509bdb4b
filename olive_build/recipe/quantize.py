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
    default=(), description="Nodes whose names match one of these shell patterns stay in fp32."
)


class DynamicInt8Spec(Strict):
    """int8 weights, activations quantized while running: small and fast on CPUs, no data needed."""

    method: Literal["dynamic-int8"] = Field(description="int8 weights and int8 arithmetic.")
    per_channel: bool = Field(
        default=True,
        description="One scale per output channel in place of one per tensor: closer to the "
        "original for a few bytes.",
    )
    weight_type: Literal["int8", "uint8"] = Field(
        default="int8", description="How weights are stored."
    )
    reduce_range: bool = Field(
        default=False,
        description="Keep weights to 7 bits: sums then cannot overflow on x86 CPUs without VNNI.",
    )
    operators: tuple[str, ...] | None = Field(
        default=None,
        description="Quantize only these ONNX operators, such as MatMul; all that can be if left "
        "out.",
    )
    exclude: tuple[str, ...] = _EXCLUDE


class WeightOnlySpec(Strict):
    """Weights in 4 or 8 bits, block by block: the smallest files; arithmetic stays in float."""

    method: Literal["weight-only"] = Field(description="Low-bit weights, float arithmetic.")
    algorithm: Literal["rtn", "k-quant"] = Field(
        default="rtn",
        description="rtn rounds to nearest; k-quant searches the scale of each block, and leaves "
        "embeddings in fp32.",
    )
    bits: Literal[4, 8] = Field(default=4, description="8 is nearly exact, 4 half as large again.")
    block_size: Literal[16, 32, 64, 128] = Field(
        default=32, description="Weights that share a scale: smaller is closer and larger."
    )
    symmetric: bool = Field(
        default=True, description="No zero point per block: smaller, a little less exact."
    )
    accuracy_level: Literal[0, 1, 2, 3, 4] = Field(
        default=0,
        description="4 computes in int8, faster on CPUs and wrong in WebAssembly; 0 leaves it to "
        "the runtime.",
    )
    embeddings: bool = Field(
        default=True, description="Quantize lookup tables too, which are most of a small model."
    )
    exclude: tuple[str, ...] = _EXCLUDE


class Fp16Spec(Strict):
    """Half precision: half the size; the arithmetic of GPUs and NPUs."""

    method: Literal["fp16"] = Field(description="Weights and arithmetic in half precision.")
    keep_io_types: bool = Field(
        default=True, description="Inputs and outputs stay fp32, so callers need not change."
    )
    exclude_operators: tuple[str, ...] = Field(
        default=(), description="ONNX operators that stay in fp32."
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
