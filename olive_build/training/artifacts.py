"""A prepared graph -> what a device trains with; everything that was made is loaded again.

training_model.onnx, eval_model.onnx and optimizer_model.onnx, their .ort forms, checkpoint,
nominal_checkpoint, and model.onnx for inference, which the runtime exports from the checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from olive_build.errors import StepError, first_line
from olive_build.onnx_files import models
from olive_build.onnx_files.header import ONNX, read_onnx
from olive_build.training.checkpoint_file import read_checkpoint
from olive_build.training.losses import add_loss
from olive_build.training.optimizers import optimizer_model
from olive_build.training.ort_form import convert_to_ort
from olive_build.training.runtime import captured, free_memory, reason, training_runtime
from olive_build.training.session import (
    CHECKPOINT,
    EVAL_MODEL,
    NOMINAL_CHECKPOINT,
    OPTIMIZER_MODEL,
    TRAINING_MODEL,
    TrainingSession,
)
from olive_build.training.settings import LEARNING_RATE, RATE_SCALE, Train
from olive_build.training.weights import Weights, take_apart

INFERENCE = "model.onnx"
MODELS = (TRAINING_MODEL, EVAL_MODEL, OPTIMIZER_MODEL)


def make_artifacts(
    model: Path,
    described: Mapping[str, Any],
    train: Train,
    formats: Sequence[str],
    out: Path,
    rate_scale: float = 1.0,
) -> None:
    """Write the training artifacts of `model` into `out`; bytes depend on the inputs alone.

    `described` is training.json, `formats` may hold "ort", and `rate_scale` is by what the
    optimizer model multiplies the learning rate that a client sets. Raises StepError when something
    cannot be generated, or cannot be loaded once it is.
    """
    _write_files(model, described, train, out, rate_scale)
    session = TrainingSession(out)
    session.export_inference(out / INFERENCE, described["outputs"])
    session.close()
    for name in (*MODELS, INFERENCE):
        check_versions(out / name)
    free_memory()
    if "ort" in formats:
        convert_to_ort([out / name for name in MODELS], out / INFERENCE, out)
        free_memory()
        TrainingSession(out, form="ort").close()
    if train.nominal_checkpoint:
        TrainingSession(out, checkpoint=out / NOMINAL_CHECKPOINT).close()


def _write_files(
    model: Path, described: Mapping[str, Any], train: Train, out: Path, rate_scale: float
) -> None:
    trainable = [entry["name"] for entry in described["trainable"]]
    graph, values, weights = take_apart(model, trainable, described["frozen"])
    rates = {LEARNING_RATE: train.optimizer.lr}
    rates |= {RATE_SCALE: rate_scale} if rate_scale != 1 else {}
    _save_checkpoints(weights, train, out, rates)
    opset = _fit_versions(graph, model.name)
    _order_inputs(graph.graph, [entry["name"] for entry in described["inputs"]])
    loss = add_loss(graph, train.loss, described["target"])
    graph.graph.input.extend(values)
    training, evaluation = build_graphs(
        graph,
        loss,
        described["outputs"],
        weights.trainable_names,
        weights.frozen_names,
        scratch=out,
    )
    models.write(training, out / TRAINING_MODEL)
    models.write(evaluation, out / EVAL_MODEL)
    models.write(optimizer_model(train.optimizer, opset, rate_scale), out / OPTIMIZER_MODEL)


def _order_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Put the graph's inputs into the order in which clients feed them; the target follows."""
    values = {value.name: value for value in graph.input}
    if set(values) != set(names):
        raise StepError(
            "the graph's inputs are not those that training.json describes",
            why=f"the graph has {', '.join(values) or 'none'}, training.json {', '.join(names)}",
        )
    ordered = [values[name] for name in names]
    del graph.input[:]
    graph.input.extend(ordered)


def _fit_versions(model: onnx.ModelProto, name: str) -> int:
    """Lower the IR version to what the runtime reads; return the opset."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset > NEWEST_OPSET:
        raise StepError(
            f"{name} has opset {opset}",
            why=f"onnxruntime-training 1.19 reads opsets up to {NEWEST_OPSET}",
            hint="write `opset: 18` in the recipe",
        )
    # Newer IR versions add types and fields that a graph of such an opset does not use.
    model.ir_version = min(model.ir_version, NEWEST_IR)
    return opset


def _save_checkpoints(
    weights: Weights, train: Train, out: Path, properties: Mapping[str, float]
) -> None:
    """Write the checkpoints, each with these properties; empty the weights."""
    runtime = training_runtime()
    names = {CHECKPOINT: False} | ({NOMINAL_CHECKPOINT: True} if train.nominal_checkpoint else {})
    with captured():
        for name, nominal in names.items():
            runtime.save_parameters(weights.trainable, weights.frozen, str(out / name), nominal)
        weights.trainable, weights.frozen = [], []
        for name in names:
            free_memory()
            _add_properties(runtime, out / name, properties)
        if train.nominal_checkpoint:
            clear_placeholders(out / NOMINAL_CHECKPOINT)


def _add_properties(runtime: Any, checkpoint: Path, properties: Mapping[str, float]) -> None:
    try:
        state = runtime.CheckpointState.load_checkpoint(str(checkpoint))
        for name, value in properties.items():
            state.properties[name] = float(value)
        runtime.CheckpointState.save_checkpoint(state, str(checkpoint))
    except Exception as error:
        raise StepError(
            "the checkpoint cannot be written", where=checkpoint.name, why=first_line(error)
        ) from error


def clear_placeholders(path: Path) -> None:
    """Set the numbers that stand for parameters in a nominal checkpoint to zero."""
    found = read_checkpoint(path, writable=True)
    for tensor in (*found.trainable.values(), *found.frozen.values()):
        tensor.data[:] = 0


# What onnxruntime 1.19 reads: docs/Versioning.md of microsoft/onnxruntime.
NEWEST_IR, NEWEST_OPSET = 10, 21


def check_versions(path: Path) -> None:
    """Raise StepError when the file is newer than what a device's onnxruntime 1.19 reads."""
    model = read_onnx(path)
    opset = model.opsets.get(ONNX, 0)
    if model.ir > NEWEST_IR or opset > NEWEST_OPSET:
        raise StepError(
            f"{path.name} has IR version {model.ir} and opset {opset}",
            why=f"onnxruntime-training 1.19 reads IR up to {NEWEST_IR}, opset up to {NEWEST_OPSET}",
            hint="export with an opset of at most 20: `opset: 18`",
        )


# Messages of onnxruntime 1.19.2, which the lock pins: orttraining/core/graph/
# gradient_builder_registry.cc and framework/gradient_graph_builder.cc.
UNREGISTERED = re.compile(r"gradient builder has not been registered: (\S+) for node ?(\S*)")
UNREACHABLE = re.compile(r"partial derivative for '([^']+)'")
# A name is tried from its beginning alone: from each of its signs would cost its square.
UNUSED = re.compile(r"(?<!\S)(\S+) couldn't find the consumer node")


def build_graphs(
    model: onnx.ModelProto,
    loss: str,
    outputs: Sequence[str],
    trainable: Sequence[str],
    frozen: Sequence[str],
    scratch: Path,
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the training and the eval model, whose outputs are the loss and then `outputs`.

    `model` has all parameters as inputs, and the value `loss`. Raises StepError when it is not
    valid or onnxruntime has no gradient for it.
    """
    onnxblock = training_runtime().onnxblock
    try:
        with captured():
            onnx.checker.check_model(model, full_check=True)
            block = _block(onnxblock, loss, outputs, scratch)
            for name in trainable:
                block.requires_grad(name)
            for name in frozen:
                block.requires_grad(name, False)
            with onnxblock.base(model):
                block(*outputs)
            training, evaluation = block.to_model_proto()
    except Exception as error:
        raise _explained(error, model) from error
    return training, evaluation


def _block(onnxblock: Any, loss: str, outputs: Sequence[str], scratch: Path) -> Any:
    class LossThenOutputs(onnxblock.TrainingBlock):  # type: ignore[misc]
        """The gradient is taken of what `build` returns first."""

        def build(self, *_: str) -> tuple[str, ...]:
            return (loss, *outputs)

    block = LossThenOutputs()
    # When it is collected, a block removes the file of this name, which by default is temp.onnx
    # in the current folder.
    block.temp_onnx_file_path = str(scratch / "no-such-file")
    return block


def _explained(error: Exception, model: onnx.ModelProto) -> StepError:
    text = str(error)
    if found := UNREGISTERED.search(text):
        operator, name = found.groups()
        return StepError(
            f"onnxruntime has no gradient for the operator {operator}",
            where=f"node `{name}`" if name else None,
            why="a parameter below it is to be trained",
            hint="freeze what lies below it with `train: frozen`, or replace that layer",
        )
    if found := UNREACHABLE.search(text) or UNUSED.search(text):
        return StepError(
            f"the loss does not depend on `{found[1]}`, which is to be trained",
            why="no path of operators with a gradient leads from it to the loss",
            hint="take it out of `train: requires_grad`, or take the loss of another output",
        )
    return StepError(
        "onnxruntime cannot build the training graph",
        where=model.graph.name or None,
        why=reason(text),
        hint="the end of the log has what it printed; freezing lower layers may help",
    )
