"""The pixels that a file computes before its network, taken from the first part of its graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from olive_build.clients.onnxruntime_client import open_session
from olive_build.onnx_files import models


class PreparingSession:
    """A session of a file, with one of that part of it which ends in `end`.

    Both are of the file as it is shipped; `preparing` is None for a form that cannot be cut.
    """

    def __init__(self, path: Path, end: str) -> None:
        self._session = open_session(path)
        self.get_inputs = self._session.get_inputs
        self.get_outputs = self._session.get_outputs
        self.preparing = _first_part(path, end)

    def run(self, names: None, feeds: Mapping[str, Any]) -> Sequence[Any]:
        """Return all outputs."""
        found: Sequence[Any] = self._session.run(names, feeds)
        return found

    def prepare(self, feeds: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
        """Return what the network is given, or None where the file does not show it."""
        if self.preparing is None:
            return None
        found: npt.NDArray[np.float32] = self.preparing.run(None, feeds)[0]
        return found


def _first_part(path: Path, end: str) -> Any:
    """Return a session of the nodes that compute `end`; None where no node does."""
    if path.suffix != ".onnx":
        return None
    whole = models.read(path, weights=False)
    nodes = list(_makers(whole.graph.node, end))
    if not nodes:
        return None
    read = {name for node in nodes for name in _reads(node)}
    part = helper.make_model(
        helper.make_graph(
            nodes,
            "preparing",
            [value for value in whole.graph.input if value.name in read],
            [helper.make_tensor_value_info(end, TensorProto.FLOAT, None)],
            [tensor for tensor in whole.graph.initializer if tensor.name in read],
        ),
        opset_imports=list(whole.opset_import),
        functions=list(whole.functions),
        ir_version=whole.ir_version,
    )
    models.fill(part, path.parent)
    return open_session(part.SerializeToString(), name=path.name)


def _makers(nodes: Iterable[onnx.NodeProto], end: str) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that a value depends on, in the order of the graph."""
    needed, found = {end}, []
    for node in reversed(list(nodes)):
        if needed & set(node.output):
            needed |= set(_reads(node))
            found.append(node)
    yield from reversed(found)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the values that a node reads, and those that its subgraphs read."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)
