"""Half precision: half the size; the arithmetic of GPUs and NPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

STEP = "conversion to fp16"


@dataclass(frozen=True)
class ConvertToFp16:
    """Write model.onnx with weights and arithmetic in fp16, through Olive's OnnxFloatToFloat16.

    Inputs: model. `keep_io_types`: inputs and outputs stay fp32. `exclude_operators` stay fp32.
    Raises StepError when a large weight stays in fp32.
    """

    keep_io_types: bool
    exclude_operators: tuple[str, ...]

    kind: ClassVar[str] = "fp16"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "olive"
    tools: ClassVar[tuple[str, ...]] = ("olive-ai", "onnxruntime", "onnxconverter-common", "onnx")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.steps.model_check import MODEL, read, require_quantized

        options = {
            "keep_io_types": self.keep_io_types,
            "op_block_list": list(self.exclude_operators) or None,
        }
        run_pass("OnnxFloatToFloat16", options, inputs["model"] / MODEL, out)
        require_quantized(read(out / MODEL), excluded=(), exempt=self.exclude_operators, step=STEP)
