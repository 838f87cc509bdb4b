"""Which nodes hold or compute more than a small floating-point format can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from olive_build.calibration.capture import stream_values
from olive_build.errors import StepError

# Here a large constant is a limit, and one that is as good as none.
LIMITS = frozenset(("Clip", "Max", "Min"))


def require_weights(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], most: float) -> None:
    """Raise StepError when a node reads a stored fp32 value beyond `most`; name the node."""
    largest: dict[str, float] = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = np.abs(numpy_helper.to_array(tensor))
            largest[tensor.name] = float(values.max(initial=0.0))
    for node in nodes:
        for name in node.input:
            if not largest.get(name, 0.0) <= most and node.op_type not in LIMITS:
                raise _too_large(node, f"its weight '{name}' holds {largest[name]:.6g}", most)


def require_values(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    feeds: Iterable[Mapping[str, npt.NDArray[Any]]],
    most: float,
    *,
    threads: int,
) -> None:
    """Raise StepError when a node computes a value beyond `most` on one of the inputs.

    What is infinite already stays so in any format, such as the logarithm of 0.
    """
    makers = {name: node for node in nodes for name in node.output if name}
    for sample, values in enumerate(stream_values(model, list(makers), feeds, threads=threads)):
        for name, value in values.items():
            if not np.issubdtype(value.dtype, np.floating) or not value.size:
                continue
            largest = float(np.abs(value).max(initial=0.0, where=~np.isinf(value)))
            if not largest <= most:
                reason = f"it computes {largest:.6g} on calibration input {sample}"
                raise _too_large(makers[name], reason, most)


def _too_large(node: onnx.NodeProto, reason: str, most: float) -> StepError:
    return StepError(
        f"fp16 cannot hold what '{node.name}' needs",
        where=f"node '{node.name}' ({node.op_type})",
        why=f"{reason}, and {most:.0f} is the largest fp16",
        hint=f"keep it in fp32: `exclude: ['{node.name}']`",
    )
