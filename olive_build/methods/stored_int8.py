"""int8 in the file, fp32 once it is loaded: for runtimes whose int8 arithmetic is slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from olive_build.knobs import knob
from olive_build.methods import Method, Quantized, exclude

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain


@dataclass(frozen=True)
class StoredInt8(Method):
    """int8 in the file, fp32 once it is loaded: a quarter of the download, fp32's speed and memory.

    For WebAssembly, where int8 arithmetic is slower than that of fp32.
    """

    exclude: tuple[str, ...] = exclude()
    method: Literal["stored-int8"] = knob(
        "int8 weights with a scale for each channel, expanded when the file is loaded.",
        "stored-int8",
    )

    @property
    def precision(self) -> str:
        return "weight-int8"

    def steps(self, chain: Chain, node: str) -> Quantized:
        from olive_build.methods.steps.stored_int8 import StoreInt8

        store = StoreInt8(chain.patterns(self.exclude))
        return Quantized(chain.add(store, {"model": node}, "quantize"), node)
