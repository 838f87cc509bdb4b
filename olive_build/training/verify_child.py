"""Repeats a bundle's stored steps: `run.py olive_build.training.verify_child BUNDLE`.

It runs in the training toolchain. One JSON object is printed: for each form of the graphs what
`repeat_stored` says, as `forms`; `inference_changed`, the parameters of the checkpoint that
inference/model.onnx has not, or otherwise; `nominal_exact`, None without a nominal checkpoint; or
an `error` as errors.OliveBuildError has it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from olive_build.errors import OliveBuildError
from olive_build.processes import follow_parent

ARTIFACTS, REFERENCE, INFERENCE = "training", "reference", "inference/model.onnx"


def repeated(folder: Path) -> dict[str, Any]:
    """Return what is printed for the bundle in `folder`, whose bytes and files were looked at."""
    from olive_build.record.read import read_manifest
    from olive_build.training.session import CHECKPOINT
    from olive_build.training.stored_check import (
        differs_from_inference,
        nominal_exact,
        repeat_stored,
        stored_bundles,
    )

    training = read_manifest(folder).training
    assert training is not None, "its bundle trains"
    artifacts = folder / ARTIFACTS
    names = [item.name for item in training.inputs]
    index = training.outputs.index(training.loss_output)
    bundles, stored = stored_bundles(artifacts, folder / REFERENCE, names, index)
    checkpoint, inference = artifacts / CHECKPOINT, folder / INFERENCE
    changed = differs_from_inference(checkpoint, inference)
    changed += _other_graph(bundles[0], list(training.outputs), inference)
    return {
        "forms": {bundle.form: repeat_stored(bundle, stored) for bundle in bundles},
        "inference_changed": changed,
        "nominal_exact": nominal_exact(bundles, stored),
    }


def _other_graph(bundle: Any, outputs: list[str], inference: Path) -> list[str]:
    """Whether what a device exports before it trains is another graph than the bundle's."""
    from olive_build.onnx_files import models

    if bundle.form != "onnx":
        return []
    session = bundle.open()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        session.export_inference(path, outputs)
        session.close()
        graphs = [models.read(item, weights=False).graph for item in (path, inference)]
    one, other = ([node.SerializeToString() for node in graph.node] for graph in graphs)
    return [] if one == other else ["its nodes"]


def main() -> None:
    """Print what came of it; an error too, with its exit code."""
    follow_parent()
    # Libraries print to stdout; the result keeps the original one.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        try:
            found = repeated(Path(sys.argv[1]))
        except OliveBuildError as error:
            found = {"error": error.as_json()}
        out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
