"""PyTorch model -> the ONNX graph that training artifacts are made of, and what is said of it.

Initializers have the names of the model's parameters, and each node says which layer it is from.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from olive_build.clients.onnxruntime_client import open_session, run_named
from olive_build.errors import StepError, first_line
from olive_build.onnx_files import models
from olive_build.rewrites.clean import SCOPES, graphs, name_nodes, strip_metadata
from olive_build.training.settings import CLASS_LOSSES, Train
from olive_build.training.torch_model import Trainable
from olive_build.training.torch_names import listed, target_name

MODEL = "model.onnx"
# What onnxruntime-training 1.19.2 reads at most.
IR_VERSION = 10
# Traced with a batch that is no power of two, so that a free axis is not taken for a constant.
EXAMPLE_BATCH = 3
PROBE_BATCHES = (1, 2, 5)
# Of the values that parameters of zero are given for the check.
FILL_SEED = 5
# fp32 sums in another order: see steps/export.py.
TOLERANCE = 1e-4
# The first line of a conflict says that there is one, the second which.
LINES_OF_CAUSE = 2
# The attribute that the exported module holds the model as; names lose it.
WRAPPER = "model."


class _Traced(torch.nn.Module):
    """The model with the family's inputs in order and one output."""

    def __init__(self, side: Trainable) -> None:
        super().__init__()
        self.model = side.model
        self._forward = side.forward

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._forward(self.model, *inputs)


def export(side: Trainable, opset: int) -> onnx.ModelProto:
    """Return the graph, the same bytes on every machine.

    Raises StepError where the exporter fails, where an axis that is to be free is not, or where a
    trained parameter is missing in the graph.
    """
    _check_size(side)
    given = side.examples(side.batch or EXAMPLE_BATCH, 0)
    free = tuple(
        {index: axis for index, axis in enumerate(side.axes[name]) if isinstance(axis, str)}
        for name in side.inputs
    )
    try:
        # Frozen parameters and trained ones alike become initializers; nothing is folded.
        program = torch.onnx.export(
            _Traced(side).eval(),
            tuple(torch.from_numpy(given[name]) for name in side.inputs),
            None,
            input_names=[exported_name(name) for name in side.inputs],
            output_names=[exported_name(side.output)],
            opset_version=opset,
            dynamo=True,
            optimize=False,
            external_data=False,
            # The wrapper takes its inputs as one parameter, *inputs.
            dynamic_shapes=(free,) if any(free) else None,
            verbose=False,
        )
    except Exception as error:
        raise _not_exported(error, is_free=any(free)) from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _clean(model)
    name_ends(model, {exported_name(name): new for name, new in side.names.items()})
    _check_graph(model, side)
    return model


def check(side: Trainable, path: Path) -> None:
    """Raise StepError where the graph in `path` and PyTorch differ by more than 1e-4.

    Trained parameters that begin at zero, such as a head's, hide what is below them: they are given
    seeded values for another comparison, in PyTorch and in a copy of the graph.
    """
    _compare(side, path)
    zeros = {name: value for name, value in side.parameters().items() if not value.any()}
    if not zeros:
        return
    model = models.read(path)
    random = np.random.default_rng(FILL_SEED)
    try:
        with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
            for name, value in zeros.items():
                shape = tuple(value.shape)
                filled = (random.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)
                value.copy_(torch.from_numpy(filled))
                stored = next(item for item in model.graph.initializer if item.name == name)
                stored.CopyFrom(onnx.numpy_helper.from_array(filled, name))
            copy = Path(scratch) / MODEL
            models.write(model, copy)
            _compare(side, copy)
    finally:
        with torch.no_grad():
            for value in zeros.values():
                value.zero_()


def _compare(side: Trainable, path: Path) -> None:
    session = open_session(path)
    for seed, batch in enumerate((side.batch,) if side.batch else PROBE_BATCHES):
        given = side.examples(batch, seed)
        with torch.no_grad():
            expected = side.run(given).numpy()
        (found,) = run_named(session, {side.names[name]: given[name] for name in side.inputs})
        error = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
        if not error <= TOLERANCE:
            raise StepError(
                f"the exported graph differs from PyTorch by {error:.2g} at a batch of {batch}",
                why=f"at most {TOLERANCE:.0e} is rounding; more is a wrong graph",
                hint="try another opset, and report the model's architecture",
            )


def description(
    side: Trainable, model: onnx.ModelProto, train: Train, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what training.json says of the graph; `data` is how the family's data is read."""
    types = _input_types(model)
    floats = {item.name for item in model.graph.initializer if _is_float(item)}
    output = side.axes[side.output]
    is_classes = train.loss.name in CLASS_LOSSES
    shape_of = {name: list(value.shape) for name, value in side.parameters().items()}
    return {
        "inputs": [
            {
                "name": side.names[name],
                # What the family calls it, which reads examples by that name.
                "family_name": name,
                "type": types[side.names[name]],
                "axes": list(side.axes[name]),
            }
            for name in side.inputs
        ],
        "target": {
            "name": target_name(train.loss),
            "type": "int64" if is_classes else "float32",
            "axes": list(output[:1] if is_classes else output),
        },
        "outputs": [side.names[side.output]],
        "labels": _labels(side, train),
        "trainable": [{"name": name, "shape": shape_of[name]} for name in side.trainable],
        # Those that the graph does without, such as a masking vector, are no one's business.
        "frozen": [name for name in side.frozen if name in floats],
        "patterns": dict(side.patterns),
        "data": dict(data),
    }


def _labels(side: Trainable, train: Train) -> list[str]:
    if train.head is not None:
        return list(train.head.labels)
    config = getattr(side.model, "config", None)
    named = {int(index): str(name) for index, name in getattr(config, "id2label", {}).items()}
    return [named.get(index, str(index)) for index in range(side.outputs)]


def _not_exported(error: Exception, *, is_free: bool) -> StepError:
    # The exporter wraps what went wrong in pages of advice about itself.
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    hint = "fix the axes in the target's `shapes`, where the model's code does; " if is_free else ""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return StepError(
        "PyTorch cannot export the model for training",
        why=f"{type(cause).__name__}: {' '.join(lines[:LINES_OF_CAUSE])}",
        hint=f"{hint}the log of the step has the exporter's own messages",
    )


def _check_size(side: Trainable) -> None:
    size = sum(value.numel() * value.element_size() for value in side.model.parameters())
    if size >= models.EXTERNAL_DATA_BYTES:
        raise StepError(
            f"the model has {size / 1e9:.1f} GB of weights",
            why="a graph for training is one file, of less than "
            f"{models.EXTERNAL_DATA_BYTES / 1e9:.1f} GB",
            hint="train a smaller model",
        )


def _clean(model: onnx.ModelProto) -> None:
    """Give parameters and nodes the model's own names; keep of the metadata each node's layer."""
    name_nodes(model)
    layers = [_scopes(node) for node in model.graph.node]
    strip_metadata(model)
    for node, layer in zip(model.graph.node, layers, strict=True):
        for index, name in enumerate(node.input):
            node.input[index] = name.removeprefix(WRAPPER)
        if layer is not None:
            node.metadata_props.add(key=SCOPES, value=layer)
    for item in model.graph.initializer:
        item.name = item.name.removeprefix(WRAPPER)
    kept = [item for item in model.graph.value_info if not item.name.startswith(WRAPPER)]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    model.ir_version = min(model.ir_version, IR_VERSION)


def _scopes(node: onnx.NodeProto) -> str | None:
    """Return the modules that a node was traced from, outermost first, as the exporter writes it.

    The wrapper is left out: `['', 'bert', 'bert.pooler', 'tanh']`, the last being the operation.
    """
    text = next((item.value for item in node.metadata_props if item.key == SCOPES), None)
    if text is None:
        return None
    scopes: Sequence[str] = ast.literal_eval(text)
    if scopes[0]:
        return None  # Sizes of the inputs come from no module.
    # The wrapper's own attribute is its second entry; the model itself is the first, ''.
    return str([name.removeprefix(WRAPPER) for name in scopes if name != WRAPPER[:-1]])


def _check_graph(model: onnx.ModelProto, side: Trainable) -> None:
    axes = {side.names[name]: found for name, found in side.axes.items()}
    initializers = {item.name for item in model.graph.initializer}
    missing = [name for name in side.trainable if name not in initializers]
    if missing:
        raise StepError(
            f"the exported graph has no parameter '{missing[0]}'",
            where="train.requires_grad",
            why=f"the exporter left out {listed(missing)}",
            hint="put it in `frozen`, and report the model's architecture",
        )
    for value in model.graph.output:
        for dim, axis in zip(value.type.tensor_type.shape.dim, axes[value.name], strict=False):
            # The exporter writes a sum of axes where it finds out that a free axis is one.
            if isinstance(axis, str) and not dim.HasField("dim_value"):
                dim.dim_param = axis
    for value in (*model.graph.input, *model.graph.output):
        found = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if found != list(axes[value.name]):
            raise StepError(
                f"the axes of '{value.name}' are {found} in the exported graph",
                why=f"{list(axes[value.name])} were asked for: the model's code fixes an axis",
                hint="fix that axis in the target's `shapes`",
            )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise StepError("the exported graph is not valid", why=first_line(error)) from error


def _input_types(model: onnx.ModelProto) -> dict[str, str]:
    return {
        value.name: str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        for value in model.graph.input
    }


def _is_float(item: onnx.TensorProto) -> bool:
    dtype: npt.DTypeLike = onnx.helper.tensor_dtype_to_np_dtype(item.data_type)
    return np.issubdtype(dtype, np.floating)


# Parameters' names begin with the wrapper's attribute, inner values' hold no dot.
EXPORTED = "end."
INNER = "inner"


def exported_name(name: str) -> str:
    """Return what an input or output is called while its graph is exported."""
    return f"{EXPORTED}{name}"


def name_ends(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Call inputs and outputs by `names`, by their present ones; an inner value gives way.

    `names` has every input and output. Names of parameters are the caller's to keep apart.
    """
    wanted = set(names.values())
    every = {name for graph in graphs(model.graph) for name in _values(graph)}
    renamed = {name: _free(name, every | wanted) for name in sorted(every & wanted - set(names))}
    renamed |= names
    for graph in graphs(model.graph):
        _rename(graph, renamed)


def _values(graph: onnx.GraphProto) -> set[str]:
    found = {value.name for value in (*graph.input, *graph.output)}
    found |= {item.name for item in graph.initializer}
    return found | {name for node in graph.node for name in node.output}


def _free(name: str, taken: set[str]) -> str:
    found = f"{name}_{INNER}"
    while found in taken:
        found += "_"
    return found


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            for index, name in enumerate(ends):
                ends[index] = names.get(name, name)
