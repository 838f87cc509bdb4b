"""Writing the graphs round the model, of audio and of text, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EXTENSIONS = "ai.onnx.contrib"
IR_VERSION = 10


class Writer:
    """Nodes and constants in the order in which they are made, all named `prefix`/..."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def branch(self) -> Writer:
        """Return a writer for a subgraph; its constants are kept in this graph."""
        inner = Writer(self.prefix)
        inner.constants = self.constants
        return inner

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        """Keep `value` as a tensor and return its full name."""
        full = f"{self.prefix}/{name}"
        self.constants[full] = numpy_helper.from_array(np.array(value, dtype), full)
        return full

    def strings(self, name: str, values: Sequence[bytes]) -> str:
        """Keep strings of any bytes, string [value], and return the tensor's full name."""
        full = f"{self.prefix}/{name}"
        tensor = TensorProto(name=full, data_type=TensorProto.STRING, dims=[len(values)])
        tensor.string_data.extend(values)
        self.constants[full] = tensor
        return full

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node of one output and return the output's full name."""
        return self._node(operator, inputs, f"{self.prefix}/{name}", name, attributes)

    def output(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append the node that makes the graph's output `name`."""
        return self._node(operator, inputs, name, name, attributes)

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        name: str,
        attributes: dict[str, Any],
    ) -> str:
        full = f"{self.prefix}/{name}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=full, **attributes)
        )
        return output

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        opset: int,
    ) -> onnx.ModelProto:
        """Return the finished model; equal calls give equal bytes."""
        constants = list(self.constants.values())
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), constants)
        imports = [helper.make_opsetid("", opset), helper.make_opsetid(EXTENSIONS, 1)]
        return helper.make_model(
            graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="olive_build"
        )
