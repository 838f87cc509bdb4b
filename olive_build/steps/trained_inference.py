"""Run the inference model of the trained parameters in the current onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.engine.step import Step, write_json

FEED = "input."


@dataclass(frozen=True)
class TrainedInference(Step):
    """Write trained_inference.json: how far its output is from others for the same inputs.

    `difference` is the largest from the evaluation model's, `pytorch_difference` from PyTorch's
    after the same steps, relative to PyTorch's largest value where that is above 1. Inputs: proof
    (trained.onnx and trained.npz). Infinity says that shapes differ, or that a value is not finite.
    """

    worker = "onnxruntime"
    stage = "prove"
    measures = True

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        import numpy as np

        from olive_build.clients.onnxruntime_client import open_session, run_named
        from olive_build.training.differences import largest_difference, outputs_difference

        session = open_session(inputs["proof"] / "trained.onnx")
        with np.load(inputs["proof"] / "trained.npz", allow_pickle=False) as arrays:
            feeds = {
                name.removeprefix(FEED): arrays[name]
                for name in arrays.files
                if name.startswith(FEED)
            }
            expected, pytorch = arrays["expected"], arrays["pytorch"]
        (actual,) = run_named(session, feeds)
        figures = {
            "difference": largest_difference(actual, expected),
            "pytorch_difference": outputs_difference(actual, pytorch),
        }
        write_json(out / "trained_inference.json", figures)
