"""Nothing: the weights stay as they are. For a component of a model whose others become smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from olive_build.knobs import knob
from olive_build.methods import Method, Quantized

if TYPE_CHECKING:
    from olive_build.methods._chain import Chain


@dataclass(frozen=True)
class Fp32(Method):
    """Weights and arithmetic as they are: for one component where others become smaller."""

    method: Literal["fp32"] = knob("Weights and arithmetic stay as they are.", "fp32")

    @property
    def precision(self) -> str:
        return "fp32"

    def steps(self, chain: Chain, node: str) -> Quantized:
        return Quantized(node, node)
