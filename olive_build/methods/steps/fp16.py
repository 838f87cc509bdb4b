"""Half precision: half the size; the arithmetic of GPUs and NPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.engine.step import Step

if TYPE_CHECKING:
    import onnx

STEP = "conversion to fp16"
LARGEST = 65504.0  # the largest finite fp16
# Calibration inputs that are looked at: what overflows does so for most.
SAMPLES = 16


@dataclass(frozen=True)
class ConvertToFp16(Step):
    """Write model.onnx with weights and arithmetic in fp16, through Olive's OnnxFloatToFloat16.

    Inputs: model, and calibration where the values inside are to be looked at. `keep_io_types`:
    inputs and outputs stay fp32. `exclude_operators` (operators) and `exclude` (shell patterns of
    node names) stay fp32: mixed precision. Raises StepError when a large weight stays in fp32, and
    when a weight, or a value on a calibration input, is more than fp16 can hold: it names the
    node and the exclusion.
    """

    keep_io_types: bool
    exclude_operators: tuple[str, ...]
    exclude: tuple[str, ...]

    worker = "olive"
    stage = "quantize"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.onnx_files.data_files import remove_model
        from olive_build.rewrites.clean import save_clean
        from olive_build.rewrites.repair_mask_fill import repair_mask_fill
        from olive_build.steps.model_check import (
            MODEL,
            matching_nodes,
            read,
            require_quantized,
        )

        before = read(inputs["model"] / MODEL)
        excluded = matching_nodes(before, self.exclude, out)
        # The lowest fp32 becomes -inf, and a row of it no number.
        repaired = repair_mask_fill(before).count > 0
        self._require_range(before, excluded, inputs.get("calibration"))
        source = inputs["model"] / MODEL
        if repaired:
            source = out / "repaired.onnx"
            save_clean(before, source)
        del before
        run_pass("OnnxFloatToFloat16", self._options(excluded), source, out)
        if repaired:
            remove_model(source)
        model = read(out / MODEL)
        require_quantized(model, excluded=excluded, exempt=self.exclude_operators, step=STEP)

    def _options(self, excluded: list[str]) -> dict[str, object]:
        return {
            "keep_io_types": self.keep_io_types,
            "op_block_list": list(self.exclude_operators) or None,
            "node_block_list": excluded or None,
            # Its default of 1e4 would clip weights without a word.
            "max_finite_val": LARGEST,
        }

    def _require_range(
        self, model: onnx.ModelProto, excluded: list[str], calibration: Path | None
    ) -> None:
        from olive_build.calibration.inputs import CALIBRATION, count_inputs, read_inputs
        from olive_build.methods.algorithms.overflow import require_values, require_weights

        nodes = [
            node
            for node in model.graph.node
            if node.op_type not in self.exclude_operators and node.name not in set(excluded)
        ]
        require_weights(model, nodes, LARGEST)
        if calibration is not None:
            path = calibration / CALIBRATION
            feeds = islice(read_inputs(path), 0, None, max(count_inputs(path) // SAMPLES, 1))
            require_values(model, nodes, feeds, LARGEST, threads=os.cpu_count() or 1)
