"""Whether a graph's inputs are what the client gives, and its outputs what the client reads.

What it gives: src/models/modeling_utils.js (encoder_forward, seq2seq_forward, decoder_forward) of
github.com/huggingface/transformers.js 4.3.1; `validateInputs` in src/models/session.js throws for
any input that is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.bundle.layouts.kinds import (
    DECODER,
    ENCODER,
    FEATURE_EXTRACTION,
    IMAGE_CLASSIFICATION,
    SPEECH_RECOGNITION,
    TEXT_GENERATION,
    Kind,
)
from olive_build.onnx_files.header import OnnxFile, Value
from olive_build.targets.client import Client

PAST = "past"
_TEXT = {"input_ids": "int64", "attention_mask": "int64"}
_TYPES = {"token_type_ids": "int64"}
_STEPS = {"position_ids": "int64", "use_cache_branch": "bool", "num_logits_to_keep": "int64"}
_PIXELS = {"pixel_values": "float32", "pixel_mask": "int64"}
_AUDIO = {"input_features": "float32", "input_values": "float32"}
# The type is that of the encoder's output, see `check_hand_over`.
_HANDED_OVER = {"encoder_hidden_states": ""}
# What the pipelines take of a graph's outputs (src/pipelines/).
_READ = {
    TEXT_GENERATION: ("logits",),
    FEATURE_EXTRACTION: ("last_hidden_state", "logits", "token_embeddings"),
    IMAGE_CLASSIFICATION: ("logits",),
}


@dataclass(frozen=True)
class Graph:
    """A model file that was read: where it lies, which session opens it, what is in it."""

    path: str
    session: str
    dtype: str
    file: OnnxFile

    @property
    def base(self) -> str:
        """The file's name without the folder."""
        return self.path.rpartition("/")[2]

    def input(self, name: str) -> Value | None:
        """Return the input of this name, None if there is none."""
        return next((value for value in self.file.inputs if value.name == name), None)

    def output(self, name: str) -> Value | None:
        """Return the output of this name, None if there is none."""
        return next((value for value in self.file.outputs if value.name == name), None)


def check_interface(
    graph: Graph, kind: Kind, config: Mapping[str, Any], client: Client
) -> Iterator[Finding]:
    """Yield inputs that the client does not give, of other types or sizes; outputs it misses."""
    if kind.task != ENCODER:
        given = _given(graph, kind, config, client)
        for value in graph.file.inputs:
            if not value.name.startswith(PAST):
                yield from _check_input(graph, value, given, kind)
    yield from _check_outputs(graph, kind)


def check_hand_over(encoder: Graph, decoder: Graph) -> Iterator[Finding]:
    """Yield what keeps the encoder's output from being the decoder's input."""
    given, taken = encoder.output("last_hidden_state"), decoder.input("encoder_hidden_states")
    if given and taken and given.element != taken.element:
        yield Finding(
            Code.INPUT,
            "error",
            f"the decoder takes {taken.element}, the encoder gives {given.element}",
            f"{decoder.path}: encoder_hidden_states",
            f"the client hands last_hidden_state of {encoder.path} over as it is",
            "convert both to fp16 with their inputs and outputs, or neither (keep_io_types)",
        )


def _given(graph: Graph, kind: Kind, config: Mapping[str, Any], client: Client) -> dict[str, str]:
    if kind.task == IMAGE_CLASSIFICATION:
        return _PIXELS
    if kind.task == FEATURE_EXTRACTION:
        decoder = config.get("model_type") in client.models[TEXT_GENERATION]
        return {**_TEXT, **_TYPES, **_PIXELS, **(_STEPS if decoder else {})}
    if kind.task == TEXT_GENERATION:
        return {**_TEXT, **_TYPES, **_STEPS}
    if graph.session == DECODER:
        mask = {} if kind.task == SPEECH_RECOGNITION else {"encoder_attention_mask": "int64"}
        steps = {name: _STEPS[name] for name in ("use_cache_branch", "num_logits_to_keep")}
        return {"input_ids": "int64", **_HANDED_OVER, **mask, **steps}
    return _AUDIO if kind.task == SPEECH_RECOGNITION else _TEXT


def _check_input(
    graph: Graph, value: Value, given: Mapping[str, str], kind: Kind
) -> Iterator[Finding]:
    where = f"{graph.path}: {value.name}"
    if value.name not in given:
        yield Finding(
            Code.INPUT,
            "error",
            f"the client gives no input '{value.name}'",
            where,
            f"for {kind.task} it has {', '.join(given)}; it throws 'Missing the following inputs'",
            "export the graph without it, or compute it in the graph",
        )
        return
    wanted = given[value.name]
    if wanted and value.element != wanted:
        yield Finding(
            Code.INPUT,
            "error",
            f"'{value.name}' is {value.element}, the client gives {wanted}",
            where,
            "onnxruntime takes no other type than the graph's",
            f"export the input as {wanted}",
        )
    yield from _check_axes(graph, value)


def _check_axes(graph: Graph, value: Value) -> Iterator[Finding]:
    where = f"{graph.path}: {value.name} {value.text()}"
    if value.shape and isinstance(value.shape[0], int) and value.name != "use_cache_branch":
        yield Finding(
            Code.AXIS,
            "warning",
            f"the batch of '{value.name}' is fixed to {value.shape[0]}",
            where,
            "the client gives as many rows as it is asked for at once",
            "export the first axis as batch_size",
        )
    text = value.name in (*_TEXT, *_TYPES, "position_ids")
    if text and len(value.shape) > 1 and isinstance(value.shape[1], int):
        yield Finding(
            Code.AXIS,
            "error",
            f"the length of '{value.name}' is fixed to {value.shape[1]}",
            where,
            "the client pads to the longest text it is given, not to a length",
            "export the second axis as sequence_length",
        )


def _check_outputs(graph: Graph, kind: Kind) -> Iterator[Finding]:
    wanted = _READ.get(kind.task, ())
    if graph.session == DECODER:
        wanted = ("logits",)
    elif graph.session == "encoder_model":
        wanted = ("last_hidden_state",)
    names = [value.name for value in graph.file.outputs]
    if wanted and not set(wanted) & set(names):
        yield Finding(
            Code.OUTPUT,
            "error",
            f"no output is called {' or '.join(wanted)}",
            graph.path,
            f"the client reads no other for {kind.task}; the graph has {_some(names)}",
            "rename the output, or export the model for this task",
        )


def _some(names: list[str]) -> str:
    rest = len(names) - 4
    return ", ".join(names[:4]) + (f" and {rest} more" if rest > 0 else "") if names else "none"
