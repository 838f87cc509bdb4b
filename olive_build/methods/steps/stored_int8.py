"""int8 weights in the file, fp32 in memory: for runtimes whose int8 arithmetic is slow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step
from olive_build.errors import StepError

log = logging.getLogger(__name__)
STEP = "storing weights as int8"


@dataclass(frozen=True)
class StoreInt8(Step):
    """Write model.onnx with int8 weights, symmetric, a scale for each output channel or row.

    Inputs: model. The runtime expands the weights of products when it loads the file, and then
    computes in fp32; lookups read single rows. WebAssembly needs it: its int8 products unpack their
    weights in every run (MlasGemmU8X8DispatchWasmSimd has no packed form;
    onnxruntime/core/mlas/lib/qgemm_kernel_wasmsimd.cpp of microsoft/onnxruntime), and a GPT-Neo of
    125 M parameters takes 64 ms a token with int8 arithmetic and 27 with this one. `exclude` are
    shell patterns of node names. Raises StepError when a large weight stays in fp32 without being
    excluded.
    """

    exclude: tuple[str, ...]

    worker = "onnxruntime"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.methods.algorithms.stored_channels import store_channels
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, matching_nodes, read, require_quantized

        model = read(inputs["model"] / MODEL)
        excluded = matching_nodes(model, self.exclude, out)
        result = store_channels(model, set(excluded))
        log.info("%d weights; %s", result.count, "; ".join(result.declined))
        if not result.count:
            raise StepError(
                f"{STEP} found none",
                why="; ".join(result.declined)
                or "no MatMul, Gemm or Gather outside `exclude` has a large fp32 weight",
                hint="choose another method",
            )
        require_quantized(model, excluded=excluded, exempt=(), step=STEP)
        save_clean(model, out / MODEL)
