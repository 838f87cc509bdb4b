"""Any Olive pass that a recipe asks for by name, between two stages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step


@dataclass(frozen=True)
class OlivePass(Step):
    """Write model.onnx by one Olive pass. Inputs: model.

    `options` is the pass's options as canonical JSON, so that equal options are one step. Raises
    StepError when the pass fails, declines or changes nothing.
    """

    name: str
    options: str

    worker = "olive"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.olive_bridge import run_pass
        from olive_build.steps.model_check import MODEL, require_change

        run_pass(self.name, json.loads(self.options), inputs["model"] / MODEL, out)
        require_change(inputs["model"] / MODEL, out / MODEL, step=f"Olive pass '{self.name}'")
