"""softmax(scores + mask) with -3.4e38 or -inf where a key is hidden -> a fill that is just enough.

Exporters fill attention masks with the lowest float or with -inf. A static quantizer gives the
masked scores one range: with 3e38 in it every score falls into one step, and -inf has no range.

Exact: a hidden key's share is exp(score + fill - m), m the row's largest visible score. In fp32
exp(x) is 0 below -103.98 (half of the smallest denormal number), so every fill of at most
-(104 + spread) gives the same bits, `spread` being how far scores lie apart. Where the spread is
larger by d than was thought, hidden keys still get less than exp(d - 104), which a sum that is at
least 1 swallows (fp32 has 24 bits, exp(-17)). A row in which every key is hidden has no result in
either graph: uniform or NaN before, the scores' own softmax after.

The idea is Olive's ReplaceAttentionMaskValue (olive/passes/onnx/graph_surgeries.py), which looks
at ConstantOfShape and initializers of one value and always writes -1e4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from olive_build.calibration.capture import stream_values
from olive_build.rewrites.drop_dead import drop_unread_values
from olive_build.rewrites.rule import Rewritten

# exp of less is 0 in fp32.
UNDERFLOW = -104.0
LARGEST_FILL = -1e4
# Constants above this that are added to scores may be a learnt bias.
A_FILL = -1e3
# How much farther apart than on the calibration inputs scores may lie.
MARGIN = 2.0

# What carries a mask on unchanged, and what does not look at its values.
CARRIES = frozenset(
    "Add Cast Concat Expand Identity Reshape Slice Squeeze Transpose Unsqueeze Where".split()
)
IGNORES = frozenset(("Shape",))
# Operators of com.microsoft with the position of their additive mask.
ATTENTION_BIAS = {"Attention": 5, "MultiHeadAttention": 5}


@dataclass(frozen=True)
class _Fill:
    """One use of a constant that fills a mask, and the scores that the mask is added to."""

    node: onnx.NodeProto
    position: int
    values: npt.NDArray[Any]
    scores: tuple[str, ...]
    carriers: tuple[str, ...]


def repair_mask_fill(model: onnx.ModelProto, *, fill: float = LARGEST_FILL) -> Rewritten:
    """Raise every mask value below `fill` to it; say why other low constants stay.

    Values between -1000 and 0 are never touched: they may be a bias that was learnt.
    """
    below = min(fill, A_FILL)
    fills, declined = _find(model, below)
    repaired: dict[str, str] = {}
    for found in fills:
        old = found.node.input[found.position]
        if old not in repaired:
            repaired[old] = f"{old}/repaired"
            values = np.where(found.values < below, fill, found.values).astype(found.values.dtype)
            tensor = numpy_helper.from_array(values, repaired[old])
            _add_or_replace(model.graph, tensor)
        found.node.input[found.position] = repaired[old]
    if fills:
        drop_unread_values(model.graph)
    return Rewritten(len(fills), tuple(declined))


def fill_from_scores(
    model: onnx.ModelProto, feeds: Iterable[Mapping[str, npt.NDArray[Any]]]
) -> float:
    """Return the smallest sufficient fill for the scores that occur on the inputs.

    Give the model repaired with the default fill, so that the scores are finite. It is -1e4 where
    a fused operator keeps its scores to itself.
    """
    fills, _ = _find(model, A_FILL)
    scores = sorted({name for found in fills for name in found.scores})
    if not fills or not all(found.scores for found in fills):
        return LARGEST_FILL
    lowest, highest = np.inf, -np.inf
    for values in stream_values(model, scores, feeds):
        for value in values.values():
            if value.size:
                lowest, highest = min(lowest, value.min()), max(highest, value.max())
    spread = float(highest - lowest)
    if not np.isfinite(spread):
        return LARGEST_FILL
    return max(LARGEST_FILL, float(np.floor(UNDERFLOW - MARGIN * spread)))


def values_with_fill(model: onnx.ModelProto) -> dict[str, float]:
    """Return the values that hold the fill where a key is hidden, and the fill.

    A range from inputs without padding does not know of it, and would show what is hidden.
    """
    fills, _ = _find(model, UNDERFLOW + 1)
    return {name: float(fill.values.min()) for fill in fills for name in fill.carriers}


def _find(model: onnx.ModelProto, below: float) -> tuple[list[_Fill], list[str]]:
    graph = model.graph
    constants = dict(_float_constants(graph))
    producers = {name: node for node in graph.node for name in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            consumers.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    fills: list[_Fill] = []
    declined: list[str] = []
    for node in graph.node:
        for position, name in enumerate(node.input):
            values = constants.get(name)
            if values is None or not values.size or not values.min() < below:
                continue
            reached = _Reached(consumers, outputs, constants)
            other_use = reached.follow(node, name)
            reason = _reason_to_decline(node, position, producers) or other_use
            if reason is None and reached.softmax:
                fills.append(_Fill(node, position, values, *reached.names()))
            elif reached.softmax:
                declined.append(f"{node.name}: {reason}")
    return fills, declined


def _float_constants(graph: onnx.GraphProto) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    for tensor in graph.initializer:
        if tensor.data_type in kinds:
            yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.t.data_type in kinds:
                    yield node.output[0], numpy_helper.to_array(attribute.t)


def _reason_to_decline(
    node: onnx.NodeProto, position: int, producers: Mapping[str, onnx.NodeProto]
) -> str | None:
    if node.op_type == "Mul":
        other = node.input[1 - position]
        return None if _zero_or_one(other, producers) else f"'{other}' may be more than 0 and 1"
    if node.op_type in CARRIES:
        return None
    return f"{node.op_type} computes with the value"


def _zero_or_one(name: str, producers: Mapping[str, onnx.NodeProto], depth: int = 12) -> bool:
    """Whether a value is made of a cast mask, turned over or not."""
    node = producers.get(name)
    if node is None or depth == 0:
        return False
    if node.op_type == "Cast":
        source = producers.get(node.input[0])
        return (
            source is None or source.op_type != "Cast" or _zero_or_one(source.output[0], producers)
        )
    if node.op_type == "Sub":
        return _zero_or_one(node.input[1], producers, depth - 1)
    if node.op_type in CARRIES - {"Add", "Concat", "Where"}:
        return _zero_or_one(node.input[0], producers, depth - 1)
    return False


class _Reached:
    """Follows a mask to all that use it: softmax and attention operators, or something else."""

    def __init__(
        self,
        consumers: Mapping[str, list[onnx.NodeProto]],
        outputs: set[str],
        constants: Mapping[str, Any],
    ) -> None:
        self._consumers, self._outputs, self._constants = consumers, outputs, constants
        self._seen: set[str] = set()
        self.scores: dict[str, None] = {}
        self.softmax = False

    def follow(self, node: onnx.NodeProto, name: str) -> str | None:
        """Return why the value `name`, which `node` reads, is more than a mask; None if not."""
        if node.op_type == "Softmax":
            self.softmax = True
            return None
        position = ATTENTION_BIAS.get(node.op_type)
        if position is not None and name in node.input[position:]:
            self.softmax = True
            self.scores = {}
            return None
        if node.op_type in IGNORES:
            return None
        if node.op_type not in CARRIES | {"Mul"}:
            return f"{node.op_type} '{node.name}' reads the mask too"
        self._note_scores(node, name)
        return self._follow_output(node.output[0])

    def _follow_output(self, name: str) -> str | None:
        if name in self._seen:
            return None
        self._seen.add(name)
        shown = f"the mask is in the output '{name}'" if name in self._outputs else None
        reasons = [shown]
        reasons += [self.follow(node, name) for node in self._consumers.get(name, ())]
        return next((reason for reason in reasons if reason is not None), None)

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the scores that the mask is added to, and the values that the fill can be in."""
        return tuple(self.scores), tuple(sorted(self._seen))

    def _note_scores(self, node: onnx.NodeProto, name: str) -> None:
        others = {"Add": node.input, "Where": node.input[1:]}.get(node.op_type, ())
        for other in others:
            if other != name and other not in self._constants and other not in self._seen:
                self.scores[other] = None


def _add_or_replace(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
    for known in graph.initializer:
        if known.name == tensor.name:
            known.CopyFrom(tensor)
            return
    graph.initializer.append(tensor)
