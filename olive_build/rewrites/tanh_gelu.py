"""Gelu by the error function -> Gelu by tanh: off by at most 5e-4, and a tenth of the time saved.

The one rewrite that is not exact in fp32, so it belongs to a quantizer that asks for it: its error
is a hundredth of what int8 itself leaves. onnxruntime has the same as an option of a session
(GeluApproximation), which an application would have to know of.

The approximation is that of Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2. Operators:
com.microsoft BiasGelu, Gelu and FastGelu, docs/ContribOperators.md of microsoft/onnxruntime.
"""

from __future__ import annotations

import onnx

from olive_build.rewrites.rule import Rewritten

DOMAIN = "com.microsoft"
EXACT = frozenset(("BiasGelu", "Gelu"))


def tanh_gelu(model: onnx.ModelProto) -> Rewritten:
    """Rewrite every com.microsoft Gelu, with or without a bias."""
    count = 0
    for node in model.graph.node:
        if node.domain == DOMAIN and node.op_type in EXACT:
            node.op_type = "FastGelu"
            count += 1
    return Rewritten(count)
