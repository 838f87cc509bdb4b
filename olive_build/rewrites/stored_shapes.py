"""Forget the shapes that a graph declares for stored tensors, which have shapes of their own.

onnxruntime's quantizer turns Gemm into MatMul by transposing the stored weight, leaves a declared
shape as it was, and then stops at the contradiction (quantization/onnx_quantizer.py of 1.31.1).
"""

from __future__ import annotations

import onnx


def forget_stored_shapes(model: onnx.ModelProto) -> int:
    """Drop what `model` declares of the values that it stores; return how many those were."""
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.value_info if value.name not in stored]
    count = len(graph.value_info) - len(kept)
    del graph.value_info[:]
    graph.value_info.extend(kept)
    return count
