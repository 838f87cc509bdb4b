"""Small graphs round one layer each, and what onnxruntime-training fails at or has wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gradient_cases import Case, ints, node, one
from torch.nn import functional

RANDOM = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


SCALE, BIAS = normal(4), normal(4)
KERNEL, GROUPED, TRANSPOSED = normal(6, 4, 3, 3), normal(4, 1, 3, 3), normal(4, 5, 3, 3)
LINE, POINT = normal(8, 2, 4), normal(8, 8, 1)
CUBE, CUBE_POINT = normal(8, 2, 3, 3, 3), normal(8, 8, 1, 1, 1)
POOL = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "shape": (4, 6, 6)}


def recurrent(kind: str, states: list[str], direction: str = "forward", own: bool = True) -> Case:
    """Return an LSTM or GRU of 5 over [6, 2, 4]; its weights are computed from w where `own`."""
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(4, 5)
    parts = [p.detach().numpy() for p in layer.parameters()]
    # ONNX has the gates in another order than PyTorch.
    order = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}[kind]
    wx, wh, bx, bh = (np.concatenate([np.split(p, len(order))[o] for o in order]) for p in parts)
    zeros = {name: np.zeros((1, 3, 5), np.float32) for name in states}
    both = 2 if direction == "bidirectional" else 1
    stored = {
        "W0": np.stack([wx] * both),
        "R0": np.stack([wh] * both),
        "B": np.stack([np.concatenate([bx, bh])] * both),
        "one": np.float32(1),
        **{name: np.concatenate([value] * both) for name, value in zeros.items()},
    }
    back = [node("ReduceSum", ["w"], ["s"], keepdims=0), node("Div", ["s", "s"], ["f"])]
    weights = ["W", "R"] if own else ["W0", "R0"]
    made = [node("Mul", [f"{name}0", "f"], [name]) for name in weights] if own else []
    more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    given = ["h", *weights, "B", *([""] if states else []), *states]
    outs = ["y", "last", *(["cell"] if kind == "LSTM" else [])]
    layer_node = node(kind, given, outs, kind, hidden_size=5, direction=direction, **more)
    nodes = [*(back if own else []), *made, layer_node]
    return Case(nodes, lambda h: layer(h)[0].unsqueeze(1), batch=6, stored=stored)


LAYERS: dict[str, Case] = {
    "Conv": one(
        "Conv",
        lambda h: functional.conv2d(h, torch.tensor(KERNEL), padding=1),
        "c",
        pads=[1] * 4,
        shape=(4, 6, 6),
        stored={"c": KERNEL},
    ),
    "Conv in groups over two axes": one(
        "Conv",
        lambda h: functional.conv2d(h, torch.tensor(GROUPED), groups=4),
        "c",
        group=4,
        shape=(4, 6, 6),
        stored={"c": GROUPED},
    ),
    "MaxPool": one("MaxPool", lambda h: functional.max_pool2d(h, 3, 2, 1), **POOL),
    "GlobalAveragePool": one(
        "GlobalAveragePool", lambda h: h.mean((2, 3), keepdim=True), shape=(4, 6, 6)
    ),
    "LayerNormalization": Case(
        [node("LayerNormalization", ["h", "s", "b"], ["y", "mean", "deviation"])],
        lambda h: functional.layer_norm(h, (4,), torch.tensor(SCALE), torch.tensor(BIAS)),
        stored={"s": SCALE, "b": BIAS},
    ),
    "LSTM": recurrent("LSTM", ["h0", "c0"]),
    "GRU": recurrent("GRU", ["h0"]),
}
# A fixed batch is what its gradient needs.
FIXED: dict[str, Case] = {
    "AveragePool": one(
        "AveragePool", lambda h: functional.avg_pool2d(h, 3, 2, 1), count_include_pad=1, **POOL
    )
}
REFUSED: dict[str, Case] = {
    "Acos": one("Acos", torch.acos),
    "Atan": one("Atan", torch.atan),
    "BatchNormalization": one(
        "BatchNormalization",
        lambda h: functional.batch_norm(h, torch.zeros(4), torch.ones(4) * 4),
        "s",
        "z",
        "z",
        "v",
        shape=(4, 5, 5),
        stored={"s": np.ones(4, np.float32), "z": np.zeros(4, np.float32), "v": np.full(4, 4, "f")},
    ),
    "ConvTranspose": one(
        "ConvTranspose",
        lambda h: functional.conv_transpose2d(h, torch.tensor(TRANSPOSED)),
        "c",
        shape=(4, 6, 6),
        stored={"c": TRANSPOSED},
    ),
    "CumSum": one("CumSum", lambda h: h.cumsum(1), "c", stored={"c": np.int64(1)}),
    "Dropout": one("Dropout", torch.clone),
    "Einsum": one("Einsum", lambda h: h.transpose(1, 2), equation="bij->bji"),
    "Elu": one("Elu", functional.elu),
    "Gelu by tanh": one(
        "Gelu", lambda h: functional.gelu(h, approximate="tanh"), approximate="tanh"
    ),
    "GlobalMaxPool": one("GlobalMaxPool", lambda h: h.amax((2, 3), keepdim=True), shape=(4, 6, 6)),
    "GroupNormalization": one(
        "GroupNormalization",
        lambda h: functional.group_norm(h, 2, torch.tensor(SCALE), torch.tensor(BIAS)),
        "s",
        "b",
        num_groups=2,
        shape=(4, 5, 5),
        opset=21,
        stored={"s": SCALE, "b": BIAS},
    ),
    "HardSwish": one("HardSwish", functional.hardswish),
    "InstanceNormalization": one(
        "InstanceNormalization",
        lambda h: functional.instance_norm(h, weight=torch.tensor(SCALE), bias=torch.tensor(BIAS)),
        "s",
        "b",
        shape=(4, 5, 5),
        stored={"s": SCALE, "b": BIAS},
    ),
    "LayerNormalization with one output": one(
        "LayerNormalization",
        lambda h: functional.layer_norm(h, (4,), torch.tensor(SCALE)),
        "s",
        stored={"s": SCALE},
    ),
    "PRelu": one(
        "PRelu",
        lambda h: functional.prelu(h, torch.tensor([0.2])),
        "c",
        stored={"c": np.array([0.2], np.float32)},
    ),
    "Pad by reflection": one(
        "Pad",
        lambda h: functional.pad(h, (1, 2), mode="reflect"),
        "c",
        mode="reflect",
        stored={"c": ints(0, 0, 1, 0, 0, 2)},
    ),
    "Pad of some axes": one(
        "Pad",
        lambda h: functional.pad(h, (1, 2)),
        "p",
        "",
        "a",
        stored={"p": ints(1, 2), "a": ints(2)},
    ),
    "Pow of an integer": one("Pow", lambda h: h**2, "c", stored={"c": np.int64(2)}),
    "Pow of what is trained": Case(
        [node("Pow", ["c", "h"], ["p"]), node("Add", ["p", "h"], ["y"])],
        lambda h: 2**h + h,
        stored={"c": np.float32(2)},
    ),
    "ReduceMax": one("ReduceMax", lambda h: h.amax(1, keepdim=True), "c", stored={"c": ints(1)}),
    "Resize": one(
        "Resize",
        lambda h: functional.interpolate(h, scale_factor=2.0),
        "",
        "c",
        shape=(4, 3, 3),
        stored={"c": np.array([1, 1, 2, 2], np.float32)},
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "Split read in part": Case(
        [node("Split", ["h"], ["a", "y"], axis=2, num_outputs=2)], lambda h: h[..., 2:]
    ),
    "Sum": one("Sum", lambda h: h + h, "h"),
    "LSTM both ways": recurrent("LSTM", ["h0", "c0"], "bidirectional"),
    "LSTM without states": recurrent("LSTM", []),
}
# These may end the process; each has one of its own.
CRASHING: dict[str, Case] = {
    "AveragePool with a free batch": FIXED["AveragePool"],
    "Conv in groups over one axis": Case(
        [
            node("Conv", ["h", "p"], ["q"]),
            node("Conv", ["q", "c"], ["y"], group=4, pads=[2, 2]),
        ],
        lambda h: functional.conv1d(
            functional.conv1d(h, torch.tensor(POINT)), torch.tensor(LINE), padding=2, groups=4
        ),
        shape=(8, 40),
        stored={"p": POINT, "c": LINE},
    ),
    "Conv in groups over three axes": Case(
        [
            node("Conv", ["h", "p"], ["q"]),
            node("Conv", ["q", "c"], ["y"], group=4, pads=[1] * 6),
        ],
        lambda h: functional.conv3d(
            functional.conv3d(h, torch.tensor(CUBE_POINT)), torch.tensor(CUBE), padding=1, groups=4
        ),
        shape=(8, 6, 6, 6),
        stored={"p": CUBE_POINT, "c": CUBE},
    ),
    "LSTM of frozen weights": recurrent("LSTM", ["h0", "c0"], own=False),
}
