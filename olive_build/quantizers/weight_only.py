"""Weights in 4 or 8 bits, block by block; activations and arithmetic stay in floating point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

STEP = "weight-only quantization"


@dataclass(frozen=True)
class QuantizeWeights:
    """Write model.onnx with MatMulNBits for the matrix multiplications.

    Inputs: model. `algorithm` is rtn (round to nearest; Olive's OnnxBlockWiseRtnQuantization) or
    k-quant (Olive's OnnxKQuantQuantization). `bits` 4 or 8, `block_size` weights share a scale.
    `accuracy_level` 4 computes in int8, which is faster on CPUs and wrong on WebAssembly; 0 leaves
    it to the runtime. `embeddings`: quantize lookup tables too (GatherBlockQuantized).
    Raises StepError when a large weight stays in fp32 without being excluded.
    """

    algorithm: str
    bits: int
    block_size: int
    symmetric: bool
    accuracy_level: int
    embeddings: bool
    exclude: tuple[str, ...]

    kind: ClassVar[str] = "weight-only"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "olive"
    tools: ClassVar[tuple[str, ...]] = ("olive-ai", "onnxruntime", "onnx-ir", "onnx")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.steps.model_check import (
            MODEL,
            matching_nodes,
            read,
            require_operators,
            require_quantized,
        )

        before = read(inputs["model"] / MODEL)
        excluded = matching_nodes(before, self.exclude)
        if not self.embeddings:
            excluded += [node.name for node in before.graph.node if node.op_type == "Gather"]
        del before
        run_pass(self._pass(), self._options(excluded), inputs["model"] / MODEL, out)
        model = read(out / MODEL)
        # k-quant knows matrix multiplications only.
        exempt = ("Gather",) if self.algorithm == "k-quant" else ()
        require_quantized(model, excluded=excluded, exempt=exempt, step=STEP)
        require_operators(model, ("com.microsoft::MatMulNBits",), step=STEP)

    def _pass(self) -> str:
        return {
            "rtn": "OnnxBlockWiseRtnQuantization",
            "k-quant": "OnnxKQuantQuantization",
        }[self.algorithm]

    def _options(self, excluded: list[str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bits": self.bits,
            "block_size": self.block_size,
            "accuracy_level": self.accuracy_level,
            "nodes_to_exclude": excluded,
        }
        if self.algorithm == "rtn":
            options["is_symmetric"] = self.symmetric
        return options
