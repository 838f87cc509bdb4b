"""Exported graph -> a graph that onnxruntime-training can take the gradient of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_build.engine.step import Step, write_json
from olive_build.errors import StepError, first_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    Feeds = dict[str, npt.NDArray[np.generic]]

DESCRIPTION = "training.json"
REPORT = "rewrites.json"
# Rewrites are exact but for the order of sums; relative to outputs above one.
TOLERANCE = 1e-5
# What a free axis other than the batch is tried at: tokens, then the samples of half a second.
BATCH = 3
LENGTHS = (8, 64, 8000)
SEED = 0


@dataclass(frozen=True)
class PrepareTraining(Step):
    """Write model.onnx, training.json as it was, and rewrites.json: how often each rule applied.

    Inputs: model (out of training-export). Raises StepError for what would fail on a device alone:
    an IR version or opset that onnxruntime-training does not read, a layer without a gradient, a
    batch normalization, a parameter that nothing depends on; and where a rewrite changed an output.
    """

    worker = "onnxruntime"
    stage = "compose"

    def run(self, inputs: Mapping[str, Path], out: Path) -> None:
        from olive_build.rewrites.clean import save_clean
        from olive_build.steps.model_check import MODEL, read

        folder = inputs["model"]
        described = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        feeds, expected = _outputs_at_some_size(folder / MODEL, described)
        model = read(folder / MODEL)
        model, report = _prepared(model, [one["name"] for one in described["trainable"]])
        save_clean(model, out / MODEL)
        del model  # Its weights are in the file, which the checks load.
        _check(out / MODEL, feeds, expected)
        shutil.copyfile(folder / DESCRIPTION, out / DESCRIPTION)
        write_json(out / REPORT, report)


def _prepared(
    model: onnx.ModelProto, trainable: Sequence[str]
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Run all rules; return the model, and what each rule did and declined."""
    from onnx import inliner

    from olive_build.rewrites.gradients import operators_without_gradient
    from olive_build.rewrites.training_refusals import refuse, require_versions
    from olive_build.rewrites.training_rules import RULES

    if model.functions:
        model = inliner.inline_local_functions(model)
    require_versions(model)
    _require_stored(model, trainable)
    report = {}
    for name, rule in RULES.items():
        result = rule(model, trainable)
        report[name] = {"count": result.count, "declined": list(result.declined)}
    refuse(operators_without_gradient(model, trainable), trainable)
    read = {node.domain for node in model.graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in read]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model, report


def _require_stored(model: onnx.ModelProto, trainable: Sequence[str]) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    lost = [name for name in trainable if name not in stored]
    if lost:
        raise StepError(
            f"`{lost[0]}` is to be trained and is no stored weight of the graph",
            why="the export folded it into another, or nothing reads it",
            hint="leave it out of `train: requires_grad`",
        )


def _outputs_at_some_size(
    path: Path, described: Mapping[str, Any]
) -> tuple[Feeds, list[npt.NDArray[Any]]]:
    """Run the exported model on seeded inputs; free axes take the first lengths that it accepts."""
    from olive_build.clients.onnxruntime_client import open_session, run_named

    session = open_session(path)
    failure: Exception | None = None
    for length in LENGTHS:
        feeds = {one["name"]: _fill(one, length) for one in described["inputs"]}
        try:
            return feeds, run_named(session, feeds)
        except Exception as error:  # noqa: BLE001 - too short for this model is one of many reasons
            failure = error
    assert failure is not None
    raise StepError(
        "the exported graph does not run",
        where=str(path.name),
        why=first_line(failure),
        hint=f"free axes were tried at {', '.join(map(str, LENGTHS))}: fix others with `shapes`",
    ) from failure


def _fill(described: Mapping[str, Any], length: int) -> npt.NDArray[np.generic]:
    """Return values for one input: normal numbers, or zeros and ones for tokens and masks."""
    import numpy as np

    random = np.random.default_rng(SEED)
    free = {"batch_size": BATCH}
    shape = [a if isinstance(a, int) else free.get(a, length) for a in described["axes"]]
    kind = np.dtype(described["type"])
    if kind.kind == "f":
        return random.standard_normal(shape).astype(kind)
    values = random.integers(0, 2, shape)
    # A mask of nothing but zeros is what no model is made for.
    values[..., 0] = 1
    return values.astype(kind)


def _check(path: Path, feeds: Feeds, expected: Sequence[npt.NDArray[Any]]) -> None:
    """Raise StepError unless the written model is valid and gives the same outputs."""
    import numpy as np
    import onnx

    from olive_build.clients.onnxruntime_client import open_session, run_named

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        raise StepError("the prepared graph is not valid ONNX", why=first_line(error)) from error
    actual = run_named(open_session(path), feeds)
    for one, other in zip(actual, expected, strict=True):
        if one.shape != other.shape:
            raise StepError(
                f"preparing the graph changed an output's shape to {list(one.shape)}",
                why=f"it was {list(other.shape)}, and rewrites keep it",
                hint="report the model's architecture: this is a fault of olive-build",
            )
        largest = float((np.abs(one - other) / np.maximum(1, np.abs(other))).max())
        if not largest <= TOLERANCE:
            raise StepError(
                f"preparing the graph changed an output by {largest:.2g}",
                why=f"rewrites keep the numbers; at most {TOLERANCE:.0e} is rounding",
                hint="report the model's architecture: this is a fault of olive-build",
            )
