"""A bundle's stored references as inputs, with their own comparison as the measure of damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from olive_build.attribution.damage import cosine_loss
from olive_build.attribution.inputs import Feed
from olive_build.attribution.session import Arrays
from olive_build.errors import UsageError
from olive_build.proof.reference import Reference
from olive_build.proof.references.classification import ClassificationReference
from olive_build.proof.references.embedding import EmbeddingReference

AnyReference = EmbeddingReference | ClassificationReference
_TYPES = {onnx.TensorProto.FLOAT16: "tensor(float16)"}


def some_of(reference: Reference, count: int) -> AnyReference:
    """Return a reference of `count` samples, spread evenly over all of it.

    Raises UsageError for a kind whose outputs are no vectors, such as transcripts.
    """
    if not isinstance(reference, AnyReference):
        raise UsageError(
            "where such a model loses fidelity cannot be told",
            why=f"its reference is a {reference.kind}, and damage is measured on vectors",
            hint="compare two files: explain --quality FP32.onnx OTHER.onnx",
        )
    if isinstance(reference, ClassificationReference):
        return reference.some(_spread(len(reference.labels), count))
    rows = _spread(len(reference.expected), count)
    return replace(
        reference,
        texts=tuple(reference.texts[row] for row in rows),
        token_ids=tuple(reference.token_ids[row] for row in rows),
        embeddings=reference.embeddings[rows],
    )


def _spread(total: int, count: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))


class ReferenceSamples:
    """The samples of a reference as feeds of a graph, and how its outputs are compared.

    Damage is 1 - cosine of what the reference compares, such as a pooled embedding, and not of
    every token.
    """

    def __init__(self, reference: AnyReference, model: onnx.ModelProto) -> None:
        self._reference = reference
        self._model = model
        # What is said of an image's pixels comes after its logits.
        is_image = isinstance(reference, ClassificationReference)
        self._values = reference.expected.shape[1] - is_image
        self.feeds: list[Feed] = [self._feed(row) for row in range(len(reference.expected))]
        self._rows = {id(feed): row for row, feed in enumerate(self.feeds)}

    def _feed(self, row: int) -> Feed:
        try:
            self._reference.run(_Recorder(self._model), np.array([row]))
        except _Recorded as recorded:
            return recorded.feed
        raise AssertionError("a reference runs the session that it is given")

    def measure(self, expected: Arrays, candidate: Arrays, feed: Arrays) -> float:
        """Return 1 - cosine of what the reference makes of the outputs on one of `feeds`."""
        rows = np.array([self._rows[id(feed)]])
        ends = [
            {"end": self._reference.run(_Replayed(self._model, outputs), rows)[:, : self._values]}
            for outputs in (expected, candidate)
        ]
        return cosine_loss(ends[0], ends[1], {})


class _Recorded(Exception):
    """Carries what a session would have been fed."""

    def __init__(self, feed: Feed) -> None:
        super().__init__("recorded")
        self.feed = feed


class _Recorder:
    """Looks like a session of the graph, and hands back what it is fed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model

    def get_inputs(self) -> Sequence[SimpleNamespace]:
        weights = {tensor.name for tensor in self._model.graph.initializer}
        return [
            SimpleNamespace(
                name=value.name,
                type=_TYPES.get(value.type.tensor_type.elem_type, "tensor"),
                shape=[dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim],
            )
            for value in self._model.graph.input
            if value.name not in weights
        ]

    def get_outputs(self) -> Sequence[SimpleNamespace]:
        return [SimpleNamespace(name=value.name) for value in self._model.graph.output]

    def run(self, _names: object, feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        raise _Recorded(dict(feed))


class _Replayed(_Recorder):
    """Looks like a session of the graph, and returns outputs that were computed before."""

    def __init__(self, model: onnx.ModelProto, outputs: Arrays) -> None:
        super().__init__(model)
        self._outputs = outputs

    def run(self, _names: object, _feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        return [self._outputs[value.name] for value in self._model.graph.output]
