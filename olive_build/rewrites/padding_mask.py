"""An attention bias that only hides padding -> the operator's own padding mask: exact.

Exporters expand attention_mask [batch, sequence] to a bias [batch, 1, sequence, sequence] by some
twenty small operators, which is a tenth of the time of an int8 MiniLM at 16 tokens, and memory
that grows with the square of the length. MultiHeadAttention takes the mask as it is.

Whether a bias only hides padding is not read off its pattern, which changes with every exporter:
the part of the graph that makes it is run on masks of several shapes, and must give what a padding
mask means for each.

Operator: com.microsoft MultiHeadAttention (key_padding_mask), docs/ContribOperators.md of
microsoft/onnxruntime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from olive_build.onnx_files.models import openable
from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.rule import Rewritten

DOMAIN = "com.microsoft"
KEY_PADDING_MASK, ATTENTION_BIAS = 4, 5
MASK = "attention_mask"
PADDING = f"{MASK}/padding"
SHAPES = ((1, 5), (2, 7), (3, 4))
# What hides a key in practice; a smaller number would only weaken it.
HIDES = -1e4


def padding_mask(model: onnx.ModelProto) -> Rewritten:
    """Give every MultiHeadAttention the mask [batch, sequence]; say why others stay."""
    graph = model.graph
    attentions = [
        node
        for node in graph.node
        if (node.op_type, node.domain) == ("MultiHeadAttention", DOMAIN) and _bias(node)
    ]
    if not attentions:
        return Rewritten(0)
    if MASK not in {value.name for value in graph.input}:
        return Rewritten(0, (f"the graph has no input '{MASK}'",))
    reasons = {name: _reason_to_decline(model, name) for name in {_bias(n) for n in attentions}}
    changed = [node for node in attentions if reasons[_bias(node)] is None]
    for node in changed:
        while len(node.input) <= ATTENTION_BIAS:
            node.input.append("")
        node.input[KEY_PADDING_MASK], node.input[ATTENTION_BIAS] = PADDING, ""
        while not node.input[-1]:
            node.input.pop()
    if changed:
        cast = helper.make_node("Cast", [MASK], [PADDING], name=PADDING, to=TensorProto.INT32)
        graph.node.insert(0, cast)
        drop_dead(model)
    declined = (f"{name}: {reason}" for name, reason in sorted(reasons.items()) if reason)
    return Rewritten(len(changed), tuple(declined))


def _bias(node: onnx.NodeProto) -> str:
    taken = len(node.input) > KEY_PADDING_MASK and node.input[KEY_PADDING_MASK]
    has = len(node.input) > ATTENTION_BIAS and node.input[ATTENTION_BIAS]
    return node.input[ATTENTION_BIAS] if has and not taken else ""


def _reason_to_decline(model: onnx.ModelProto, bias: str) -> str | None:
    """Return why the bias is not a padding mask, None where it is."""
    try:
        session = session_of(model, bias)
        for shape in SHAPES:
            mask = _some_mask(shape)
            if not _only_hides_padding(session.run(None, _feeds(session, mask))[0], mask):
                return "it does more than hide padding"
    except Exception as error:  # noqa: BLE001 - whatever stops it from being run, it stays as it is
        return f"the part of the graph that makes it cannot be run by itself ({error})"
    return None


def session_of(model: onnx.ModelProto, bias: str) -> Any:
    """Return a session of that part of the graph that makes the value `bias`."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.append(helper.make_empty_tensor_value_info(bias))
    drop_dead(part)
    read = {name for node in part.graph.node for name in node.input}
    inputs = [value for value in part.graph.input if value.name in read]
    del part.graph.input[:]
    part.graph.input.extend(inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with openable(part) as given:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def _some_mask(shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return a mask [batch, sequence] whose rows end at different places, one with a hole."""
    mask = np.ones(shape, np.int64)
    for row in range(shape[0]):
        mask[row, shape[1] - row :] = 0
    if shape[0] > 1:
        mask[-1, 1] = 0
    return mask


def _feeds(session: Any, mask: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    others = {value.name: np.zeros_like(mask) for value in session.get_inputs()}
    return others | {MASK: mask}


def _only_hides_padding(bias: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> bool:
    keys = mask.shape[1]
    if bias.ndim != 4 or bias.shape[3] != keys:
        return False
    wide = np.broadcast_to(mask[:, None, None, :], (mask.shape[0], *bias.shape[1:]))
    return bool((bias[wide == 1] == 0).all() and (bias[wide == 0] <= HIDES).all())
