"""Pillow's resampling in plain ONNX operators: one product by a matrix of weights for each axis.

ONNX's own Resize knows two of Pillow's six filters and, at the edges of a picture, other weights
for one of them: up to 15 grey levels were measured. The weights are computed in the graph from the
picture's size, as Resample.c of Pillow does: in double precision, then in steps of 2 to the -22;
the picture is rounded to bytes after each axis. Which of the two comes first is Pillow 13's rule,
which was measured: the rows, where more than twice as many of them go as of columns. (Up to version
12, the columns always came first.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from olive_build.families.image_classification.nodes import Nodes
from olive_build.families.image_classification.preparation import FILTERS

PRECISION = float(1 << 22)
LANCZOS_LOBES = 3.0
CUBIC = -0.5
# How many pixels of the result each filter reaches to.
REACH = {"BOX": 0.5, "BILINEAR": 1.0, "HAMMING": 1.0, "BICUBIC": 2.0, "LANCZOS": 3.0}


def resample(nodes: Nodes, picture: str, sizes: str, wanted: str, filter_: int) -> str:
    """Return `picture` [.., height, width] resized to `wanted` [2], whole numbers of nodes' kind.

    `sizes` [2] int64 are its height and width; `filter_` is Pillow's number of one of FILTERS.
    A picture that has the wanted size already costs nothing.
    """
    other = nodes.add("Cast", [nodes.add("Sub", [sizes, wanted])], to=TensorProto.BOOL)
    is_other = nodes.add("Or", [*(_at(nodes, other, axis) for axis in (0, 1))])
    resizing, leaving = nodes.branch("resized"), nodes.branch("left")
    if FILTERS[filter_] == "NEAREST":
        resized = _picked(resizing, picture, sizes, wanted)
    else:
        resized = _weighed(resizing, picture, sizes, wanted, FILTERS[filter_])
    return nodes.choose(is_other, resizing, leaving, (resized, leaving.add("Identity", [picture])))


def _picked(nodes: Nodes, picture: str, sizes: str, wanted: str) -> str:
    for axis in (0, 1):
        places = _nearest(nodes, _at(nodes, sizes, axis), _at(nodes, wanted, axis))
        picture = nodes.add("Gather", [picture, places], axis=axis + 2)
    return picture


def _weighed(nodes: Nodes, picture: str, sizes: str, wanted: str, name: str) -> str:
    rows, columns = (
        _weights(nodes, _at(nodes, sizes, axis), _at(nodes, wanted, axis), name) for axis in (0, 1)
    )
    columns = nodes.add("Transpose", [columns], perm=[1, 0])
    lost_rows, lost_columns = (
        _at(nodes, nodes.add("Sub", [sizes, wanted]), axis) for axis in (0, 1)
    )
    is_tall = nodes.add("Greater", [lost_rows, nodes.add("Mul", [lost_columns, nodes.whole(2)])])
    rows_first = nodes.add("And", [is_tall, nodes.add("Greater", [lost_rows, nodes.whole(0)])])
    one, other = nodes.branch("rows"), nodes.branch("columns")
    first = _as_bytes(one, one.add("MatMul", [rows, picture]))
    second = _as_bytes(other, other.add("MatMul", [picture, columns]))
    ends = (
        _as_bytes(one, one.add("MatMul", [first, columns])),
        _as_bytes(other, other.add("MatMul", [rows, second])),
    )
    return nodes.choose(rows_first, one, other, ends)


def _at(nodes: Nodes, vector: str, index: int) -> str:
    """Return a number of a vector, without axes."""
    return nodes.add("Gather", [vector, nodes.whole(index)], axis=0)


def _as_bytes(nodes: Nodes, values: str) -> str:
    half, low, high = (nodes.shared(number, nodes.kind) for number in (0.5, 0, 255))
    return nodes.add("Clip", [nodes.add("Floor", [nodes.add("Add", [values, half])]), low, high])


def _count(nodes: Nodes, length: str) -> str:
    """Return 0, 1 .. as float64 [length]."""
    zero, one = nodes.double(0), nodes.double(1)
    return nodes.add("Range", [zero, nodes.as_double(length), one])


def _scale(nodes: Nodes, length: str, goal: str) -> str:
    return nodes.add("Div", [nodes.as_double(length), nodes.as_double(goal)])


def _nearest(nodes: Nodes, length: str, goal: str) -> str:
    """Return the place of each pixel's source [goal]; steps are added up as Pillow does."""
    scale = _scale(nodes, length, goal)
    is_first = nodes.add("Equal", [_count(nodes, goal), nodes.double(0)])
    steps = nodes.add("Where", [is_first, nodes.add("Mul", [scale, nodes.double(0.5)]), scale])
    places = nodes.add("CumSum", [steps, nodes.whole(0)])
    return nodes.add("Cast", [nodes.add("Floor", [places])], to=TensorProto.INT64)


def _weights(nodes: Nodes, length: str, goal: str, name: str) -> str:
    """Return weights [goal, length]; each row adds up to one."""
    scale, half, one = _scale(nodes, length, goal), nodes.double(0.5), nodes.double(1)
    places = nodes.add("Unsqueeze", [_count(nodes, goal), nodes.whole([1])])
    centres = nodes.add("Mul", [nodes.add("Add", [places, half]), scale])
    widths = nodes.add("Div", [one, nodes.add("Max", [scale, one])])
    distances = nodes.add("Add", [nodes.add("Sub", [_count(nodes, length), centres]), half])
    reach = nodes.add("Mul", [nodes.double(REACH[name]), nodes.add("Max", [scale, one])])
    found = FILTER_NODES[name](nodes, nodes.add("Mul", [distances, widths]))
    found = nodes.add("Where", [_window(nodes, length, centres, reach), found, nodes.double(0)])
    total = nodes.add("ReduceSum", [found, nodes.whole([1])], keepdims=1)
    precision = nodes.double(PRECISION)
    steps = nodes.add("Round", [nodes.add("Mul", [nodes.add("Div", [found, total]), precision])])
    return nodes.add("Cast", [nodes.add("Div", [steps, precision])], to=nodes.element)


def _window(nodes: Nodes, length: str, centres: str, reach: str) -> str:
    """Return which pixels [goal, length] are in reach of each centre, in whole numbers."""
    half, places = nodes.double(0.5), _count(nodes, length)
    first = nodes.add("Floor", [nodes.add("Add", [nodes.add("Sub", [centres, reach]), half])])
    last = nodes.add("Floor", [nodes.add("Add", [nodes.add("Add", [centres, reach]), half])])
    reached = nodes.add("GreaterOrEqual", [places, first])
    return nodes.add("And", [reached, nodes.add("Less", [places, last])])


def _box(nodes: Nodes, x: str) -> str:
    above = nodes.add("Greater", [x, nodes.double(-0.5)])
    inside = nodes.add("And", [above, nodes.add("LessOrEqual", [x, nodes.double(0.5)])])
    return nodes.as_double(inside)


def _bilinear(nodes: Nodes, x: str) -> str:
    left = nodes.add("Sub", [nodes.double(1), nodes.add("Abs", [x])])
    return nodes.add("Max", [left, nodes.double(0)])


def _within(nodes: Nodes, x: str, reach: float, values: str) -> str:
    """Return `values` where x is nearer to zero than `reach`, and zero elsewhere."""
    inside = nodes.add("Less", [nodes.add("Abs", [x]), nodes.double(reach)])
    return nodes.add("Where", [inside, values, nodes.double(0)])


def _sinc(nodes: Nodes, x: str) -> str:
    """Return sin(pi x) / (pi x), and one at zero."""
    turned = nodes.add("Mul", [x, nodes.double(math.pi)])
    at_zero = nodes.add("Equal", [x, nodes.double(0)])
    divisor = nodes.add("Where", [at_zero, nodes.double(1), turned])
    values = nodes.add("Div", [nodes.add("Sin", [turned]), divisor])
    return nodes.add("Where", [at_zero, nodes.double(1), values])


def _hamming(nodes: Nodes, x: str) -> str:
    # cos(a) is sin(a + pi / 2); onnxruntime has no cosine in double precision.
    turned = nodes.add("Mul", [x, nodes.double(math.pi)])
    cosine = nodes.add("Sin", [nodes.add("Add", [turned, nodes.double(math.pi / 2)])])
    window = nodes.add("Mul", [cosine, nodes.double(float(np.float32(0.46)))])
    window = nodes.add("Add", [window, nodes.double(float(np.float32(0.54)))])
    return _within(nodes, x, 1, nodes.add("Mul", [_sinc(nodes, x), window]))


def _lanczos(nodes: Nodes, x: str) -> str:
    slow = nodes.add("Div", [x, nodes.double(LANCZOS_LOBES)])
    values = nodes.add("Mul", [_sinc(nodes, x), _sinc(nodes, slow)])
    return _within(nodes, x, LANCZOS_LOBES, values)


def _bicubic(nodes: Nodes, x: str) -> str:
    far = nodes.add("Abs", [x])
    near = _polynomial(nodes, far, (CUBIC + 2, -(CUBIC + 3), 0, 1))
    outer = _polynomial(nodes, far, (CUBIC, -5 * CUBIC, 8 * CUBIC, -4 * CUBIC))
    inside = nodes.add("Less", [far, nodes.double(1)])
    return nodes.add("Where", [inside, near, _within(nodes, x, 2, outer)])


def _polynomial(nodes: Nodes, x: str, factors: tuple[float, ...]) -> str:
    """Return a polynomial of x, whose highest power's factor comes first."""
    value = nodes.double(factors[0])
    for factor in factors[1:]:
        value = nodes.add("Add", [nodes.add("Mul", [value, x]), nodes.double(factor)])
    return value


FILTER_NODES: dict[str, Callable[[Nodes, str], str]] = {
    "BOX": _box,
    "BILINEAR": _bilinear,
    "HAMMING": _hamming,
    "BICUBIC": _bicubic,
    "LANCZOS": _lanczos,
}
