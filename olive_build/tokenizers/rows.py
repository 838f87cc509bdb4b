"""The end of a tokenizer's graph: one row of ids becomes a row for each text, cut and filled up."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from olive_build.errors import StepError
from olive_build.families.graph_writer import EXTENSIONS, GraphWriter, tensor_info
from olive_build.tokenizers.sections import Frame, refuse
from olive_build.tokenizers.texts import ML, NUL_OPSET, ONE, PREFIX, TEXT, TEXTS_OF_BYTES, ZERO

ML_OPSET = 4
MIN_OPSET = 13
"""ReduceSum with axes as an input is the newest thing that every graph needs."""

NEVER = 2**31 - 1
"""More tokens than any text has."""

OUTPUTS = ("input_ids", "attention_mask", "token_type_ids")


def check_numbers(max_length: int, opset: int, around: int) -> None:
    """Raise StepError for a length that only the tokens `around` a text fill, or an old opset."""
    if max_length < around + 1:
        raise StepError(
            f"max_length {max_length} leaves no room for text",
            where="max_length",
            why=f"{around} tokens around the text are part of it",
            hint=f"give {around + 1} or more; the model's own limit is usual",
        )
    if opset < MIN_OPSET:
        raise StepError(
            f"opset {opset} is too old for a tokenizer graph",
            where="opset",
            why=f"it uses operators as they are from opset {MIN_OPSET} on",
            hint=f"give {MIN_OPSET} or more, {NUL_OPSET} for texts that may hold U+0000",
        )


def tokenizer_writer() -> GraphWriter:
    """Return the writer of a tokenizer's graph, with the constants ZERO and ONE."""
    # An empty domain is written out: the files of before have it.
    graph = GraphWriter(PREFIX, domain="")
    graph.constant("zero", 0)
    graph.constant("one", 1)
    return graph


def write_rows(g: GraphWriter, ids: str, row_end: int, frame: Frame, max_length: int) -> None:
    """Write the three outputs, int64 [batch_size, sequence_length].

    `ids` are those of all texts in one row, each text followed by `row_end`; at place 0, before
    the first text, is the padding.
    """
    if frame.pad is None:
        raise refuse("it has no padding token", "texts of a batch have rows of one length")
    ends, before = _limits(g, ids, row_end)
    _outputs(g, ids, ends, before, frame, max_length)


def _limits(g: GraphWriter, ids: str, row_end: int) -> tuple[str, str]:
    """ids -> where in them each text ends, and where the one before it did; int64 [batch_size, 1].

    Before the first text is the padding at place 0.
    """
    end = g.add("Equal", [ids, g.constant("rows/row_end", row_end)], "rows/is_end")
    ends = g.add("NonZero", [end], "rows/ends_flat")
    ends = g.add("Reshape", [ends, g.constant("rows/column_shape", [-1, 1])], "rows/ends")
    limits = [g.constant("rows/from", [0]), g.constant("rows/to", [-1])]
    others = g.add("Slice", [ends, *limits], "rows/ends_but_last")
    first = g.constant("rows/before_first", [[0]])
    before = g.add("Concat", [first, others], "rows/before", axis=0)
    return ends, before


def _outputs(
    g: GraphWriter, ids: str, ends: str, before: str, frame: Frame, max_length: int
) -> None:
    # The distance from one end to the next is the place of the last token, if all fits, where a
    # token stands at either end.
    last = g.add("Sub", [ends, before], "rows/full_close")
    if frame.count < 2:
        last = g.add("Add", [last, g.constant("rows/without_ends", frame.count - 2)], "rows/full")
    last = g.add("Min", [last, g.constant("rows/last_close", max_length - 1)], "rows/close")
    longest = g.add("ReduceMax", [last], "rows/longest_close", keepdims=0)
    width = g.add("Add", [longest, ONE], "rows/sequence_length")
    column = g.add("Range", [ZERO, width, ONE], "rows/column")
    inside = g.add("LessOrEqual", [column, last], "rows/is_inside")
    place = g.add("Add", [before, column], "rows/place_if_inside")
    if frame.begin is None:
        place = g.add("Add", [place, ONE], "rows/place_after")
    place = g.add("Where", [inside, place, ZERO], "rows/place")
    found = g.add("Gather", [ids, place], "rows/padded")
    if frame.end is not None:
        is_close = g.add("Equal", [column, last], "rows/is_close")
        end_id = g.constant("rows/end_id", frame.end)
        found = g.add("Where", [is_close, end_id, found], "rows/closed")
    if frame.begin is not None:
        is_open = g.add("Equal", [column, ZERO], "rows/is_open")
        begin_id = g.constant("rows/begin_id", frame.begin)
        g.output("Where", [is_open, begin_id, found], "input_ids")
    else:
        g.output("Identity", [found], "input_ids")
    g.output("Cast", [inside], "attention_mask", to=TensorProto.INT64)
    g.output("Sub", [place, place], "token_type_ids")


def finished(g: GraphWriter, name: str, opset: int) -> onnx.ModelProto:
    """Return the graph from the texts to the three outputs as a model."""
    shape = ["batch_size", "sequence_length"]
    opsets = {"": opset, ML: ML_OPSET, EXTENSIONS: 1}
    # The type of a custom operator's output: without it the shape inference of onnx, which the
    # mobile tools run, reads a null pointer at the LabelEncoder and dies.
    known = [tensor_info(TEXTS_OF_BYTES, TensorProto.STRING, ["bytes"])]
    given = [tensor_info(TEXT, TensorProto.STRING, shape[:1])]
    made = [tensor_info(name, TensorProto.INT64, shape) for name in OUTPUTS]
    return g.model(name, given, made, opsets, known)
