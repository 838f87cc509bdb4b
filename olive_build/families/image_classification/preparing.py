"""The graph that prepares pictures: bytes of any size in, what the network takes out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from olive_build.families.graph_writer import tensor_info
from olive_build.families.image_classification.nodes import Nodes
from olive_build.families.image_classification.preparation import (
    Crop,
    Exact,
    Frame,
    Preparation,
    Resize,
    ShareCrop,
    Shortest,
    Size,
    Step,
    Thumbnail,
    Turn,
    Within,
)
from olive_build.families.image_classification.resampling import resample
from olive_build.proof.references.classification import IMAGE, PIXEL_VALUES

# Of [batch_size, channels, height, width].
CHANNELS, HEIGHT, WIDTH = 1, 2, 3
# Of a graph that is run here and shipped nowhere.
OPSET = 18


def preparing(prepared: Preparation) -> Nodes:
    """Return the nodes from IMAGE, uint8 [.., height, width, channels], to PIXEL_VALUES."""
    resizes = sum(isinstance(step, Resize) for step in prepared.steps)
    # In single precision a rounding to bytes may fall the other way, by one: twice would be two.
    nodes = Nodes("preparing", np.float32 if resizes < 2 else np.float64)
    picture = nodes.add("Transpose", [IMAGE], perm=[0, 3, 1, 2])
    if prepared.flips:
        order = nodes.whole(range(len(prepared.mean))[::-1])
        picture = nodes.add("Gather", [picture, order], axis=CHANNELS)
    picture = nodes.add("Cast", [picture], to=nodes.element)
    for step in prepared.steps:
        picture = _step(nodes, picture, step)
    if resizes > 1:
        picture = nodes.add("Cast", [picture], to=TensorProto.FLOAT)
    scaled = nodes.add("Mul", [picture, nodes.shared(prepared.rescale, np.float32)])
    mean, std = (
        nodes.shared(np.reshape(values, (-1, 1, 1)), np.float32)
        for values in (prepared.mean, prepared.std)
    )
    nodes.output("Div", [nodes.add("Sub", [scaled, mean]), std], PIXEL_VALUES, numbered=True)
    return nodes


def preparing_model(prepared: Preparation, opset: int = OPSET) -> onnx.ModelProto:
    """Return the graph as a model of its own, from IMAGE to PIXEL_VALUES."""
    nodes = preparing(prepared)
    axes: list[str | int] = ["batch_size", len(prepared.mean), prepared.height, prepared.width]
    given = image_axes(prepared, "batch_size")
    image = tensor_info(IMAGE, TensorProto.UINT8, given)
    pixels = tensor_info(PIXEL_VALUES, TensorProto.FLOAT, axes)
    return nodes.model("preparing", [image], [pixels], {"": opset})


def image_axes(prepared: Preparation, batch: str | int) -> Sequence[str | int]:
    """Return the axes of IMAGE: free where any picture is prepared, else of the network's size."""
    size = ("height", "width") if prepared.steps else (prepared.height, prepared.width)
    return (batch, *size, len(prepared.mean))


def _step(nodes: Nodes, picture: str, step: Step) -> str:
    sizes = nodes.add("Shape", [picture], start=HEIGHT)
    match step:
        case Resize(size, filter_):
            return resample(nodes, picture, sizes, _wanted(nodes, sizes, size), filter_)
        case Crop(height, width) | Frame(height, width):
            wanted = nodes.whole([height, width])
            return _centred(nodes, picture, sizes, wanted, pads_less_before=isinstance(step, Frame))
        case Turn():
            return _turned(nodes, picture, sizes, step)
        case ShareCrop(height, width):
            shorter = nodes.as_double(_shorter(nodes, sizes))
            shares = nodes.add("Mul", [nodes.double([height, width]), shorter])
            wanted = nodes.add("Cast", [shares], to=TensorProto.INT64)
            return _centred(nodes, picture, sizes, wanted, pads_less_before=False)


def _turned(nodes: Nodes, picture: str, sizes: str, step: Turn) -> str:
    """Return a picture that is turned clockwise where its longer side is the other one."""
    height, width = (nodes.add("Gather", [sizes, nodes.whole(at)], axis=0) for at in (0, 1))
    sides = (width, height) if step.upright else (height, width)
    turning, leaving = nodes.branch("turned"), nodes.branch("left")
    swapped = turning.add("Transpose", [picture], perm=[0, 1, 3, 2])
    last, before_first = nodes.whole([-1]), nodes.whole([np.iinfo(np.int64).min])
    turned = turning.add("Slice", [swapped, last, before_first, nodes.whole([WIDTH]), last])
    ends = (turned, leaving.add("Identity", [picture]))
    return nodes.choose(nodes.add("Greater", [*sides]), turning, leaving, ends)


def _shorter(nodes: Nodes, sizes: str) -> str:
    return _side(nodes, sizes, "Min")


def _side(nodes: Nodes, sizes: str, operator: str) -> str:
    """Return the shorter or the longer side [1]."""
    sides = (nodes.add("Gather", [sizes, nodes.whole([index])], axis=0) for index in (0, 1))
    return nodes.add(operator, [*sides])


def _wanted(nodes: Nodes, sizes: str, size: Size) -> str:
    """Return height and width [2] int64 that a picture of `sizes` becomes."""
    match size:
        case Exact(height, width):
            return nodes.whole([height, width])
        case Shortest(edge, None, divisor):
            shorter = _shorter(nodes, sizes)
            found = nodes.add("Div", [nodes.add("Mul", [sizes, nodes.whole([edge])]), shorter])
            return found if divisor == 1 else _rounded_up(nodes, found, divisor)
        case Shortest(edge, int(longest), _):
            return _bounded(nodes, sizes, edge, longest)
        case Thumbnail(height, width):
            return _thumbnail(nodes, sizes, nodes.whole([height, width]))
        case Within(height, width):
            whole = nodes.as_double(sizes)
            scales = nodes.add("Div", [nodes.double([height, width]), whole])
            fitting = nodes.add("Mul", [whole, _shorter(nodes, scales)])
            return nodes.add("Cast", [fitting], to=TensorProto.INT64)
    raise TypeError(f"{size} is no size")


def _rounded_up(nodes: Nodes, sizes: str, divisor: int) -> str:
    """Return the next multiples of a number."""
    most = nodes.add("Add", [sizes, nodes.whole([divisor - 1])])
    times = nodes.add("Div", [most, nodes.whole([divisor])])
    return nodes.add("Mul", [times, nodes.whole([divisor])])


def _bounded(nodes: Nodes, sizes: str, edge: int, longest: int) -> str:
    """Return what get_size_with_aspect_ratio of transformers does, in its order and precision."""
    whole, least = nodes.as_double(sizes), nodes.as_double(_shorter(nodes, sizes))
    most = nodes.as_double(_side(nodes, sizes, "Max"))
    asked = nodes.double([edge])
    longer = nodes.add("Mul", [nodes.add("Div", [most, least]), asked])
    exceeds = nodes.add("Greater", [longer, nodes.double([longest])])
    raw = nodes.add("Div", [nodes.add("Mul", [nodes.double([longest]), least]), most])
    factor = nodes.add("Where", [exceeds, raw, asked])
    short = nodes.add("Where", [exceeds, nodes.add("Round", [raw]), asked])
    others = nodes.add("Floor", [nodes.add("Div", [nodes.add("Mul", [factor, whole]), least])])
    found = nodes.add("Where", [nodes.add("Equal", [whole, least]), short, others])
    stays = nodes.add("Equal", [least, short])
    chosen = nodes.add("Where", [stays, whole, found])
    return nodes.add("Cast", [chosen], to=TensorProto.INT64)


def _thumbnail(nodes: Nodes, sizes: str, box: str) -> str:
    """Return what Donut's `thumbnail` does: the longer side is cut, and the shorter follows."""
    cut = nodes.add("Min", [sizes, box])
    other_way = nodes.whole([1, 0])
    cut_other, other = (nodes.add("Gather", [v, other_way], axis=0) for v in (cut, sizes))
    follows = nodes.add("Div", [nodes.add("Mul", [sizes, cut_other]), other])
    return nodes.add("Where", [nodes.add("Less", [sizes, other]), follows, cut])


def _centred(nodes: Nodes, picture: str, sizes: str, wanted: str, *, pads_less_before: bool) -> str:
    """Return the middle of a picture, with black around it where it is smaller."""
    zero, two = nodes.whole([0]), nodes.whole([2])
    missing = nodes.add("Max", [nodes.add("Sub", [wanted, sizes]), zero])
    first = missing if pads_less_before else nodes.add("Add", [missing, nodes.whole([1])])
    before = nodes.add("Div", [first, two])
    after = nodes.add("Sub", [missing, before])
    none = nodes.whole([0, 0])  # of the batch and the channels
    pads = nodes.add("Concat", [none, before, none, after], axis=0)
    padded = nodes.add("Pad", [picture, pads])
    extra = nodes.add("Sub", [nodes.add("Max", [sizes, wanted]), wanted])
    start = nodes.add("Div", [extra, two])
    end = nodes.add("Add", [start, wanted])
    return nodes.add("Slice", [padded, start, end, nodes.whole([HEIGHT, WIDTH])])
