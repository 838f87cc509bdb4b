"""int8 by ranges that calibration inputs showed: for NPUs, and for convolutions on CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from olive_build.knobs import knob
from olive_build.methods import (
    Ladder,
    Method,
    Problem,
    Quantized,
    Rung,
    Use,
    escaped,
    exclude,
    no_calibration,
    operators,
    per_channel,
    rounding,
    smooth,
    uncalibrated,
    weight_type,
)

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain


@dataclass(frozen=True)
class StaticInt8(Method):
    """int8 weights and activations by ranges from calibration: NPUs, and convolutions on CPUs."""

    needs_calibration: ClassVar[bool] = True

    activations: Literal["uint8", "uint16"] = knob(
        "uint8 is fast everywhere; uint16 is far closer to the original, for NPUs.", "uint8"
    )
    weights: Literal["int8", "uint8"] = weight_type()
    per_channel: bool = per_channel()
    calibration: Literal["min-max", "percentile"] = knob(
        "min-max keeps every value that was seen; percentile clips the rarest.", "min-max"
    )
    percentile: float = knob(
        "How much of the values is kept by `calibration: percentile`, in percent.", 99.99
    )
    smooth: bool = smooth()
    rounding: Literal["nearest", "gptq"] = rounding()
    operators: tuple[str, ...] | None = operators()
    exclude: tuple[str, ...] = exclude()
    method: Literal["static-int8"] = knob(
        "QuantizeLinear and DequantizeLinear with fixed ranges (QDQ).", "static-int8"
    )

    @property
    def precision(self) -> str:
        return "w8a8" if self.activations == "uint8" else "w8a16"

    def problems(self, use: Use) -> Iterator[Problem]:
        if not use.family.calibrates:
            yield no_calibration(use, "method", "`static-int8`", f"use {uncalibrated()}")

    def steps(self, chain: Chain, node: str) -> Quantized:
        from olive_build.methods.steps.static_int8 import QuantizeStaticInt8
        from olive_build.methods.steps.tables import QuantizeEmbeddings

        node = before = chain.smoothed(self.smooth, "per-tensor", node)
        if not chain.convolutional:
            node = chain.add(QuantizeEmbeddings(()), {"model": node}, "embeddings")
        step = QuantizeStaticInt8(
            activations=self.activations,
            weights=self.weights,
            per_channel=self.per_channel,
            calibration=self.calibration,
            percentile=self.percentile,
            operators=self.operators,
            exclude=chain.patterns(self.exclude),
        )
        node = chain.calibrated(step, node, "quantize")
        return Quantized(chain.rounded(self.rounding, node, before), before)

    @classmethod
    def ladders(cls, precisions: Sequence[str], *, convolutional: bool) -> Sequence[Ladder]:
        return [StaticLadder()] if "w8a8" in precisions else []


@dataclass(frozen=True)
class StaticLadder:
    """uint8 activations by calibrated ranges, or fp32: what convolutions have fast kernels for."""

    percentile: float | None = None
    smooth: bool = False
    gptq: bool = False

    @property
    def name(self) -> str:
        helps = [f" at {self.percentile} %"] if self.percentile else []
        helps += [" + smooth"] * self.smooth + [" + gptq"] * self.gptq
        return "static-int8" + "".join(helps)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return (Rung("int8", "weights"), Rung("fp32", "weights"))

    @property
    def operators(self) -> frozenset[str]:
        return frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))

    def uniform(self, rung: int) -> Method | None:
        return self.assigned({}) if rung == 0 else None

    def assigned(self, rungs: Mapping[str, int]) -> Method:
        return StaticInt8(
            calibration="percentile" if self.percentile else "min-max",
            percentile=self.percentile or 99.99,
            smooth=self.smooth,
            rounding="gptq" if self.gptq else "nearest",
            exclude=escaped(node for node, rung in rungs.items() if rung == 1),
        )

    def refinements(self) -> Sequence[Ladder]:
        clipped = (99.99, 99.9) if self.percentile is None else ()
        helps = [x for x in ("smooth", "gptq") if not getattr(self, x)]
        return [
            *(replace(self, percentile=percent) for percent in clipped),
            *(replace(self, **{x: True}) for x in helps),
        ]

    def shortcuts(self) -> Sequence[Ladder]:
        return ()
