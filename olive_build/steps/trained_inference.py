"""Run the inference model of the trained parameters in the current onnxruntime."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class TrainedInference:
    """Write trained_inference.json: the largest `difference` from the evaluation model's output.

    Inputs: proof (trained.onnx and trained.npz). Infinity says that shapes differ, or that a value
    is not finite.
    """

    kind: ClassVar[str] = "trained-inference"
    version: ClassVar[int] = 1
    worker: ClassVar[str] = "onnxruntime"
    tools: ClassVar[tuple[str, ...]] = ("onnxruntime", "numpy")
    exclusive: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import numpy as np

        from olive_build.clients.onnxruntime_client import open_session, run_named

        session = open_session(inputs["proof"] / "trained.onnx")
        with np.load(inputs["proof"] / "trained.npz", allow_pickle=False) as arrays:
            feeds = {name: arrays[name] for name in arrays.files}
        expected = feeds.pop("expected")
        (actual,) = run_named(session, feeds)
        difference = math.inf
        if actual.shape == expected.shape:
            difference = float(np.abs(np.subtract(actual, expected, dtype=np.float64)).max())
        if not math.isfinite(difference):
            difference = math.inf
        text = json.dumps({"difference": difference}, indent=2, sort_keys=True)
        (out / "trained_inference.json").write_text(text + "\n", encoding="utf-8")
