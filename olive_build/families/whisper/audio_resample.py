"""A higher sampling rate for audio as a graph: band-limited interpolation as a matrix product.

Time is taken in blocks of 1/25 s. A block has a whole number of samples at the rates that files
have (8000, 11025, 12000 Hz); another rate counts as the next lower multiple of 25 Hz. What a block
of new samples takes from the old is the same for each block, so the weights are one matrix, and
they are computed in the graph, since the file says the rate.

The weights are sinc times Hann, 32 old samples to either side (J. O. Smith, "Digital Audio
Resampling", ccrma.stanford.edu/~jos/resample), divided by their sum so that a constant stays one.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from olive_build.families.graph_writer import GraphWriter

BLOCKS_A_SECOND = 25
side = 32


def resampled(g: GraphWriter, samples: str, found: str, rate: int, window: int) -> str:
    """Write the nodes from samples at a lower rate to samples at `rate`.

    `samples`: float32 [1, old samples]; `found`: their rate in hertz, int64 [1], below `rate`. The
    result is float32 [1, new samples], with no more than `window` and one block.
    """
    new = rate // BLOCKS_A_SECOND
    one = g.constant("one_sample", [1])
    old = g.add("Div", [found, g.constant("blocks_a_second", BLOCKS_A_SECOND)], "block_if_any")
    old = g.add("Max", [old, one], "block")
    blocks = g.constant("most_blocks", [-(-window // new)])
    most = g.add("Mul", [old, blocks], "most_samples")
    line = g.add("Reshape", [samples, g.constant("line", [-1])], "line_of_samples")
    line = g.add("Slice", [line, g.constant("line_from", [0]), most], "kept_line")
    size = g.add("Shape", [line], "line_size")
    # Zeros on either side, and behind for the last block, which may have begun only.
    behind = g.add("Add", [old, g.constant("side", [side])], "zeros_behind")
    around = g.add("Concat", [g.constant("zeros_ahead", [side]), behind], "zeros", axis=0)
    line = g.add("Pad", [line, around], "padded_line")
    less = g.add("Sub", [g.add("Add", [size, old], "size_and_block"), one], "size_rounded")
    count = g.add("Div", [less, old], "blocks")
    made = g.add("MatMul", [_frames(g, line, old, count), _weights(g, old, new)], "new_blocks")
    flat = g.add("Reshape", [made, g.constant("one_row", [1, -1])], "new_line")
    scaled = g.add("Mul", [size, g.constant("new_block", new)], "size_scaled")
    length = g.add("Div", [scaled, old], "new_size")
    limits = [g.constant("row_from", [0]), length, g.constant("row_axis", [1])]
    return g.add("Slice", [flat, *limits], "raised")


def _range(g: GraphWriter, size: str, name: str) -> str:
    """0, 1, ... up to a size int64 [1]; int64 [size]."""
    limit = g.add("Squeeze", [size], f"{name}_limit")
    steps = [g.constant(f"{name}_from", 0), limit, g.constant(f"{name}_step", 1)]
    return g.add("Range", steps, name)


def _frames(g: GraphWriter, line: str, old: str, count: str) -> str:
    """The old samples that each block needs; float32 [blocks, old samples of a block and sides]."""
    starts = g.add("Mul", [_range(g, count, "block_number"), old], "block_start")
    starts = g.add("Unsqueeze", [starts, g.constant("column_axis", [1])], "block_start_column")
    reach = g.add("Add", [old, g.constant("both_sides", [2 * side])], "reach")
    places = g.add("Add", [starts, _range(g, reach, "place")], "places")
    return g.add("Gather", [line, places], "frames")


def _weights(g: GraphWriter, old: str, new: int) -> str:
    """What each new sample of a block takes of the old; float32 [old samples and sides, new]."""

    def number(name: str, value: float) -> str:
        return g.constant(name, value, np.float32)

    size = g.add("Cast", [old], "block_as_float", to=TensorProto.FLOAT)
    steps = g.constant("new_places", np.arange(new) / new, np.float32)
    at = g.add("Add", [g.add("Mul", [steps, size], "new_at"), number("shift", side)], "new_shifted")
    reach = g.add("Add", [old, g.constant("sides", [2 * side])], "weights_reach")
    place = g.add("Cast", [_range(g, reach, "old_place")], "old_at", to=TensorProto.FLOAT)
    place = g.add("Unsqueeze", [place, g.constant("old_axis", [1])], "old_column")
    apart = g.add("Sub", [place, at], "apart")
    far = g.add("Abs", [apart], "far")
    outside = g.add("Greater", [far, number("widest", side)], "is_outside")
    # sin(x) / x has no value at 0; it is 1 there, and as good as 1 so close to it.
    safe = g.add("Max", [far, number("closest", 1e-4)], "far_enough")
    angle = g.add("Mul", [safe, number("pi", np.pi)], "angle")
    sinc = g.add("Div", [g.add("Sin", [angle], "sine"), angle], "sinc")
    slow = g.add("Mul", [safe, number("hann_pi", np.pi / side)], "hann_angle")
    half = number("half", 0.5)
    hann = g.add("Mul", [g.add("Cos", [slow], "cosine"), half], "hann_wave")
    hann = g.add("Add", [hann, half], "hann")
    both = g.add("Mul", [sinc, hann], "sinc_hann")
    both = g.add("Where", [outside, number("no_weight", 0), both], "raw_weights")
    total = g.add("ReduceSum", [both, g.constant("sum_axis", [0])], "weight_sums", keepdims=1)
    return g.add("Div", [both, total], "weights")
