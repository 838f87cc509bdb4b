"""The values that a graph computes inside, streamed sample by sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

from olive_build.errors import StepError, first_line
from olive_build.onnx_files.models import openable

Values = dict[str, npt.NDArray[Any]]


def stream_values(
    model: onnx.ModelProto,
    names: Sequence[str],
    feeds: Iterable[Mapping[str, npt.NDArray[Any]]],
    *,
    threads: int = 1,
) -> Iterator[Values]:
    """Yield, for each sample, the values named: of inner results, inputs or outputs.

    The graph runs as it is written, without the runtime's own fusions, so that every name exists.
    One sample's values are held at a time. Raises StepError for a name that the graph does not
    compute, and when onnxruntime cannot run it.
    """
    computed = {name for node in model.graph.node for name in node.output}
    given = {value.name for value in model.graph.input}
    unknown = [name for name in names if name not in computed | given]
    if unknown:
        raise StepError(f"the graph has no value '{unknown[0]}'", where="capturing inner values")
    fetched = [name for name in names if name in computed]
    session = _session(model, fetched, threads)
    wanted_inputs = [value.name for value in session.get_inputs()]
    for feed in feeds:
        try:
            inputs = {name: feed[name] for name in wanted_inputs}
            values = session.run(fetched, inputs) if fetched else []
        except Exception as error:
            raise StepError(
                "onnxruntime cannot run the graph on a calibration input", why=first_line(error)
            ) from error
        captured = dict(zip(fetched, values, strict=True))
        yield captured | {name: feed[name] for name in names if name in given}


def _session(model: onnx.ModelProto, fetched: Sequence[str], threads: int) -> Any:
    """Return a session whose outputs include `fetched`."""
    graph = model.graph
    before = len(graph.output)
    there = {value.name for value in graph.output}
    # Without a type onnxruntime infers it; a wrong one would be an error.
    graph.output.extend(helper.make_empty_tensor_value_info(n) for n in fetched if n not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        with openable(model) as given:
            return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise StepError("onnxruntime cannot load the graph", why=first_line(error)) from error
    finally:
        del graph.output[before:]
