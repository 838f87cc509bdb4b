"""Runs in the training toolchain: the gradients that onnxruntime-training gives, for many graphs.

`python -P gradients_in_toolchain.py ROOT FOLDER NAME...`: FOLDER/NAME.onnx, FOLDER/NAME.npz (inputs
and the loss's target), FOLDER/NAME.json (what is trained, the loss); writes FOLDER/NAME.out.npz, or
FOLDER/NAME.failed with the stage and the error's text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx


def gradients(folder: Path, name: str) -> None:
    """Write loss and gradients of the first step, or at which stage it failed and why."""
    runtime = training_runtime()
    from onnxruntime.training import artifacts, onnxblock

    onnx.IR_VERSION = 10
    told = json.loads((folder / f"{name}.json").read_text())

    class Loss(onnxblock.Block):
        def __init__(self) -> None:
            super().__init__()
            self.loss = getattr(onnxblock.loss, told["loss"])()

        def build(self, *outputs: str) -> str:
            return self.loss(outputs[-1])

    stage = "generate"
    out = folder / f"{name}.artifacts"
    out.mkdir()
    try:
        model = onnx.load(str(folder / f"{name}.onnx"))
        trained = told["trainable"]
        stored = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
        artifacts.generate_artifacts(
            model,
            requires_grad=trained,
            frozen_params=[name for name in stored if name not in trained],
            loss=Loss(),
            additional_output_names=[model.graph.output[-1].name],
            artifact_directory=str(out),
        )
        stage = "load"
        state = runtime.CheckpointState.load_checkpoint(str(out / "checkpoint"))
        paths = (str(out / f"{kind}_model.onnx") for kind in ("training", "eval"))
        module = runtime.Module(next(paths), state, next(paths))
        stage = "run"
        with np.load(folder / f"{name}.npz") as feeds:
            module.train()
            loss, *_ = module(*(feeds[one] for one in module.input_names()))
        found = {one: np.array(state.parameters[one].grad) for one in trained}
        np.savez(folder / f"{name}.out.npz", loss=np.array(loss), **found)
    except Exception as error:  # noqa: BLE001 - which one it is, is what is asked
        (folder / f"{name}.failed").write_text(f"{stage}: {error}")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from olive_build.training.runtime import training_runtime

    for one in sys.argv[3:]:
        gradients(Path(sys.argv[2]), one)
