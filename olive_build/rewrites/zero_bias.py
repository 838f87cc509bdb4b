"""An attention bias that is always zero, dropped: exact.

A decoder's later steps take one token, which may look at all that came before: the causal mask that
is exported with them hides nothing. Some twenty small operators make it at every step.

Whether a bias is zero is not read off its pattern: the part of the graph that makes it is run for
several sizes of each axis.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.padding_mask import session_of
from olive_build.rewrites.rule import Rewritten

DOMAIN = "com.microsoft"
ATTENTION_BIAS = 5
# Every symbolic axis takes each of these in turn, alone and with the others.
SIZES = (1, 2, 7)
# What inputs hold: a bias that depends on any of it is not always zero.
FILLS = (0, 1, 5)


def drop_zero_bias(model: onnx.ModelProto) -> Rewritten:
    """Drop the bias of every MultiHeadAttention for which it is zero; say why others stay."""
    attentions = [
        node
        for node in model.graph.node
        if (node.op_type, node.domain) == ("MultiHeadAttention", DOMAIN)
        and len(node.input) > ATTENTION_BIAS
        and node.input[ATTENTION_BIAS]
    ]
    reasons = {
        name: _reason_to_decline(model, name)
        for name in {node.input[ATTENTION_BIAS] for node in attentions}
    }
    changed = [node for node in attentions if reasons[node.input[ATTENTION_BIAS]] is None]
    for node in changed:
        node.input[ATTENTION_BIAS] = ""
        while not node.input[-1]:
            node.input.pop()
    if changed:
        drop_dead(model)
    declined = (f"{name}: {reason}" for name, reason in sorted(reasons.items()) if reason)
    return Rewritten(len(changed), tuple(declined))


def _reason_to_decline(model: onnx.ModelProto, bias: str) -> str | None:
    try:
        session = session_of(model, bias)
        symbols = sorted(
            {dim for value in session.get_inputs() for dim in value.shape if isinstance(dim, str)}
        )
        for sizes in product(SIZES, repeat=len(symbols)):
            known = dict(zip(symbols, sizes, strict=True))
            if any(np.any(session.run(None, _feeds(session, known, fill))[0]) for fill in FILLS):
                return "it is not always zero"
    except Exception as error:  # noqa: BLE001 - whatever stops it from being run, it stays as it is
        return f"the part of the graph that makes it cannot be run by itself ({error})"
    return None


def _feeds(session: Any, sizes: dict[str, int], fill: int) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    for value in session.get_inputs():
        shape = [sizes.get(dim, dim) for dim in value.shape]
        dtype = helper.tensor_dtype_to_np_dtype(_element(value.type))
        found[value.name] = np.full(shape, fill, dtype)
    return found


def _element(kind: str) -> int:
    name = {"float": "FLOAT", "float16": "FLOAT16", "double": "DOUBLE"}
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return int(onnx.TensorProto.DataType.Value(name.get(inner, inner.upper())))
