"""Half precision, for GPUs and NPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from olive_build.knobs import knob
from olive_build.methods import Method, Quantized, exclude, keep_io_types

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain


@dataclass(frozen=True)
class Fp16(Method):
    """Half precision: half the size; the arithmetic of GPUs and NPUs."""

    keep_io_types: bool = keep_io_types()
    exclude_operators: tuple[str, ...] = knob(
        "ONNX operators that stay in fp32, such as those that overflow in fp16.", ()
    )
    exclude: tuple[str, ...] = exclude()
    method: Literal["fp16"] = knob("Weights and arithmetic in half precision.", "fp16")

    keeps_packed_attention: ClassVar[bool] = True

    @property
    def precision(self) -> str:
        return "fp16"

    def steps(self, chain: Chain, node: str) -> Quantized:
        from olive_build.methods.steps.fp16 import ConvertToFp16

        excluded = chain.patterns(self.exclude)
        step = ConvertToFp16(self.keep_io_types, self.exclude_operators, excluded)
        # Without calibration inputs its weights alone are looked at for what overflows.
        if chain.mixed:
            return Quantized(chain.add(step, {"model": node}, "quantize"), node)
        return Quantized(chain.calibrated(step, node, "quantize"), node)
