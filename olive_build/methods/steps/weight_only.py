"""Weights in 4 or 8 bits, block by block; activations and arithmetic stay in floating point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.step import Step
from olive_build.errors import StepError
from olive_build.steps.notes import IF_THERE, NothingToDo, leave_out

STEP = "weight-only quantization"
PASSES = {"rtn": "OnnxBlockWiseRtnQuantization", "k-quant": "OnnxKQuantQuantization"}
CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class QuantizeWeights(Step):
    """Write model.onnx with MatMulNBits for the matrix multiplications.

    Inputs: model. `algorithm` is rtn (round to nearest; Olive's OnnxBlockWiseRtnQuantization) or
    k-quant (Olive's OnnxKQuantQuantization: asymmetric; embeddings by rtn, which it does not know).
    `bits` 4 or 8, `block_size` weights share a scale.
    `accuracy_level` 4 computes in int8, which is faster on CPUs and wrong on WebAssembly; 0 leaves
    it to the runtime. `embeddings`: quantize lookup tables too (GatherBlockQuantized). `only` are
    the shell patterns of the nodes to quantize, None for all but those of `exclude`.
    Gemm is a product too; convolutions are QuantizeConvWeights' work. Raises StepError when a large
    weight of another operator stays in fp32 without being excluded, and for k-quant with
    `symmetric`.
    """

    algorithm: str
    bits: int
    block_size: int
    symmetric: bool
    accuracy_level: int
    embeddings: bool
    only: tuple[str, ...] | None
    exclude: tuple[str, ...]

    worker = "olive"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.onnx_files.data_files import remove_model
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.gemm_as_matmul import gemm_as_matmul
        from olive_build.rewrites.rename_outputs import rename_outputs
        from olive_build.steps.model_check import (
            MODEL,
            matching_nodes,
            read,
            require_operators,
            require_quantized,
        )

        self._require_possible()
        before = read(inputs["model"] / MODEL)
        excluded = matching_nodes(before, self.exclude, out)
        if self.only is not None:
            chosen = set(matching_nodes(before, self.only, out))
            if not chosen:  # patterns that need not match
                leave_out(_no_product(self.only), inputs["model"], out, asked=False)
                return
            excluded += [node.name for node in before.graph.node if node.name not in chosen]
        if not self.embeddings:
            excluded += [node.name for node in before.graph.node if node.op_type == "Gather"]
        lookups = {node.name for node in before.graph.node if node.op_type == "Gather"}
        others = [node.name for node in before.graph.node if node.op_type != "Gather"]
        outputs = [value.name for value in before.graph.output]
        source = inputs["model"] / MODEL
        products = out / "products.onnx"
        if gemm_as_matmul(before).count:
            save_clean(before, products)
            source = products
        del before
        if self.algorithm == "k-quant" and lookups - set(excluded):
            run_pass(PASSES["rtn"], self._options("rtn", [*excluded, *others]), source, out)
            source = out / MODEL
        run_pass(PASSES[self.algorithm], self._options(self.algorithm, excluded), source, out)
        remove_model(products)
        model = read(out / MODEL)
        if rename_outputs(model, outputs):
            save_clean(model, out / MODEL)
        require_quantized(model, excluded=excluded, exempt=CONVOLUTIONS, step=STEP)
        require_operators(model, ("com.microsoft::MatMulNBits",), step=STEP)

    def _require_possible(self) -> None:
        if self.algorithm not in PASSES:
            raise StepError(
                f"weights are not quantized by '{self.algorithm}' in one step",
                why=f"it is one of {', '.join(PASSES)}; gptq is rtn and then GPTQ's rounding",
                hint="write one of them as `algorithm`",
            )
        if self.algorithm == "k-quant" and self.symmetric:
            raise StepError(
                "k-quant cannot be symmetric",
                why="it searches a scale and a zero point for each block",
                hint="write `symmetric: false`, or `algorithm: rtn`",
            )

    def _options(self, algorithm: str, excluded: list[str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bits": self.bits,
            "block_size": self.block_size,
            "accuracy_level": self.accuracy_level,
            "nodes_to_exclude": excluded,
        }
        if algorithm == "rtn":
            options["is_symmetric"] = self.symmetric
        return options


def _no_product(patterns: tuple[str, ...]) -> NothingToDo:
    why = f"none is named {' or '.join(pattern.removeprefix(IF_THERE) for pattern in patterns)}"
    return NothingToDo("no product keeps blocks of its own", why=why)
