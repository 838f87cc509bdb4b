"""Graphs in memory, run by onnxruntime with any of their inner values as outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

from olive_build.clients.onnxruntime_client import extensions_library
from olive_build.errors import StepError, UsageError, first_line
from olive_build.onnx_files.models import openable

Arrays = Mapping[str, npt.NDArray[Any]]
EXTENSIONS = "ai.onnx.contrib"
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
WHERE = "attributing the loss of fidelity"


class Runner:
    """One graph with chosen inner values as further outputs.

    `as_written`: without the runtime's own fusions, so that the values are those of the graph's
    nodes. Raises StepError when onnxruntime cannot load the graph.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        fetched: Sequence[str] = (),
        *,
        as_written: bool = True,
        threads: int = 1,
    ) -> None:
        self.outputs = tuple(value.name for value in model.graph.output)
        self._session = _open(model, fetched, as_written, threads)
        self._inputs = {value.name: value.type for value in self._session.get_inputs()}

    def run(self, feed: Arrays, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the values named (all of the model's own outputs without) on one feed.

        Raises UsageError when the feed lacks an input, StepError when the graph cannot run on it.
        """
        names = self.outputs if names is None else names
        missing = [name for name in self._inputs if name not in feed]
        if missing:
            raise UsageError(
                f"the inputs lack '{missing[0]}'",
                where=WHERE,
                why=f"the graph takes {', '.join(self._inputs)}; given are {', '.join(feed)}",
            )
        try:
            inputs = {name: _as_taken(feed[name], kind) for name, kind in self._inputs.items()}
            values = self._session.run(list(names), inputs)
        except Exception as error:
            raise StepError(
                "onnxruntime cannot run the graph on an input",
                where=WHERE,
                why=first_line(error),
                hint="give inputs that the model takes with --inputs",
            ) from error
        return dict(zip(names, values, strict=True))


def _as_taken(value: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    """Return floating-point numbers in the width that the graph takes; anything else as it is."""
    return value.astype(_FLOATS[kind]) if kind in _FLOATS and is_float(value) else value


def _open(model: onnx.ModelProto, fetched: Sequence[str], as_written: bool, threads: int) -> Any:
    graph = model.graph
    before = len(graph.output)
    there = {value.name for value in graph.output}
    # Without a type onnxruntime infers it; a wrong one would be an error.
    graph.output.extend(helper.make_empty_tensor_value_info(n) for n in fetched if n not in there)
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_DISABLE_ALL if as_written else level.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if any(node.domain == EXTENSIONS for node in graph.node):
        options.register_custom_ops_library(extensions_library())
    try:
        with openable(model) as given:
            return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise StepError(
            "onnxruntime cannot load the graph", where=WHERE, why=first_line(error)
        ) from error
    finally:
        del graph.output[before:]


def is_float(value: object) -> bool:
    """Whether a value is a tensor of floating point numbers."""
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)


def signal_to_noise_db(signal_power: float, noise_power: float) -> float:
    """Return 10 log10 of the ratio; infinity without noise, minus infinity without signal."""
    if not np.isfinite(noise_power) or not np.isfinite(signal_power):
        return float("-inf")
    if noise_power <= 0:
        return float("inf")
    if signal_power <= 0:
        return float("-inf")
    return float(10 * np.log10(signal_power / noise_power))
