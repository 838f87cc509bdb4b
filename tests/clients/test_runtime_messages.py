"""What a runtime has to say of a graph comes as an exception: its own log would move a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

NAME = "a\x1b]0;pwned\x07\x1b[2J"
PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from olive_build.clients.onnxruntime_client import open_session, run_named
try:
    session = open_session(Path(sys.argv[1]))
    print(run_named(session, {"x": np.ones((2, 3), np.float32)})[0].shape)
except Exception as error:
    print(ascii(str(error))[:60])
"""


def graph(kind: str) -> onnx.ModelProto:
    """Return a graph whose names are hostile, and that the runtime finds a fault with."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"])
    y = helper.make_tensor_value_info(NAME, TensorProto.FLOAT, [7] if kind == "shape" else None)
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [5])
    nodes = {
        "fails": helper.make_node("Reshape", ["x", "s"], [NAME], name=NAME),
        "shape": helper.make_node("Identity", ["x"], [NAME], name=NAME),
        "unknown": helper.make_node(NAME, ["x"], [NAME], name=NAME, domain=NAME),
        "unused": helper.make_node("Identity", ["x"], [NAME], name=NAME),
    }
    initializers = [shape]
    if kind == "unused":
        initializers.append(helper.make_tensor(NAME + "w", TensorProto.FLOAT, [1], [1.0]))
    made = helper.make_graph([nodes[kind]], NAME, [x], [y], initializers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(NAME, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("kind", ["fails", "shape", "unknown", "unused"])
def test_the_runtime_writes_nothing_of_a_graph_by_itself(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph(kind).SerializeToString())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stdout.strip()
