"""The forward graph -> the training graph (loss, gradients, accumulation) and the eval graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from olive_build.errors import StepError
from olive_build.training.runtime import captured, reason, training_runtime

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
