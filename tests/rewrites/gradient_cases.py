"""Small graphs round one operator each, with the same in PyTorch: elements, shapes, reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from toolchain_gradients import Trial
from torch.nn import functional

Function = Callable[[torch.Tensor], torch.Tensor]
node = helper.make_node
RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """`nodes` compute y from h, which is an input times the trainable w of `shape`, per example."""

    nodes: list[onnx.NodeProto]
    function: Function
    shape: tuple[int, ...] = (3, 4)
    stored: dict[str, Any] = field(default_factory=dict)
    batch: int = 2
    opset: int = 20

    def trial(self, *, free: bool = False) -> Trial:
        """Return the graph and PyTorch's gradient; with `free`, the batch is a free axis."""
        shape = (self.batch, *self.shape)
        x = RANDOM.uniform(0.1, 0.8, shape).astype(np.float32)
        x *= RANDOM.choice([-1, 1], shape) if self.signed else 1
        w = RANDOM.uniform(0.6, 1, self.shape).astype(np.float32)
        trained = torch.tensor(w, requires_grad=True)
        y = self.function(torch.tensor(x) * trained)
        target = RANDOM.normal(size=tuple(y.shape)).astype(np.float32)
        loss = functional.mse_loss(y, torch.tensor(target))
        loss.backward()
        assert trained.grad is not None
        model = self.model(w, ["batch" if free else self.batch, *self.shape], y.ndim)
        feeds = {"x": x, "target": target}
        return Trial(model, feeds, {"w": trained.grad.numpy()}, float(loss.detach()))

    @property
    def signed(self) -> bool:
        """Whether the function takes negative numbers."""
        return not {n.op_type for n in self.nodes} & {"Log", "Sqrt", "ReduceLogSum", "Reciprocal"}

    def model(self, w: np.ndarray, shape: list[Any], axes: int) -> onnx.ModelProto:
        """Return the graph: an input of `shape` times w, and the nodes."""
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"y{i}" for i in range(axes)])
        graph = helper.make_graph(
            [node("Mul", ["x", "w"], ["h"], name="mul"), *self.nodes],
            "case",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [out],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in {"w": w, **self.stored}.items()],
        )
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)


def one(operator: str, function: Function, *more: str, **kind: Any) -> Case:
    """Return the case of a single node; names in `more` are its inputs behind h."""
    own = ("shape", "stored", "batch", "opset")
    attributes = {name: value for name, value in kind.items() if name not in own}
    made = node(operator, ["h", *more], ["y"], name=operator, **attributes)
    return Case([made], function, **{name: kind[name] for name in own if name in kind})


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


OTHER = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
OTHER_T = torch.tensor(OTHER)
MATRIX = RANDOM.normal(size=(4, 5)).astype(np.float32)
CHOICE = RANDOM.random((2, 3, 4)) > 0.5
PLACES = RANDOM.integers(0, 4, (2, 3, 2))
C = {"stored": {"c": OTHER}}
UNARY: dict[str, Function] = {
    "Abs": torch.abs,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Gelu": functional.gelu,
    "Identity": torch.clone,
    "LeakyRelu": lambda h: functional.leaky_relu(h, 0.01),
    "Log": torch.log,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "Softmax": lambda h: functional.softmax(h, -1),
    "LogSoftmax": lambda h: functional.log_softmax(h, -1),
    "Flatten": lambda h: h.flatten(1),
    "Trilu": torch.triu,
}
REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "ReduceSum": lambda h: h.sum(1),
    "ReduceMean": lambda h: h.mean(1),
    "ReduceL2": lambda h: h.norm(dim=1),
    "ReduceLogSumExp": lambda h: torch.logsumexp(h, 1),
}
TRAINED: dict[str, Case] = {
    **{name: one(name, function) for name, function in UNARY.items()},
    **{
        f"{name} over an axis": one(name, function, "axis", keepdims=0, stored={"axis": ints(1)})
        for name, function in REDUCTIONS.items()
    },
    "ReduceMean of all": one("ReduceMean", torch.mean, keepdims=0),
    "Add": one("Add", lambda h: h + OTHER_T, "c", **C),
    "Sub": one("Sub", lambda h: h - OTHER_T, "c", **C),
    "Mul": one("Mul", lambda h: h * OTHER_T, "c", **C),
    "Div": one("Div", lambda h: h / OTHER_T, "c", **C),
    "Min": one("Min", lambda h: torch.minimum(h, OTHER_T), "c", **C),
    "Max": one("Max", lambda h: torch.maximum(h, OTHER_T), "c", **C),
    "Pow": one("Pow", lambda h: h**3, "c", stored={"c": np.float32(3)}),
    "MatMul": one("MatMul", lambda h: h @ torch.tensor(MATRIX), "c", stored={"c": MATRIX}),
    "Gemm": one("Gemm", lambda h: h @ torch.tensor(MATRIX), "c", shape=(4,), stored={"c": MATRIX}),
    "Clip": one(
        "Clip",
        lambda h: h.clamp(-0.3, 0.3),
        "a",
        "b",
        stored={"a": np.float32(-0.3), "b": np.float32(0.3)},
    ),
    "Where": Case(
        [node("Where", ["k", "h", "c"], ["y"])],
        lambda h: torch.where(torch.tensor(CHOICE), h, OTHER_T),
        stored={"k": CHOICE, "c": OTHER},
    ),
    "Cast": Case(
        [node("Cast", ["h"], ["d"], to=TensorProto.DOUBLE), node("Cast", ["d"], ["y"], to=1)],
        torch.clone,
    ),
    "Concat": Case(
        [node("Concat", ["h", "c", "h"], ["y"], axis=1)],
        lambda h: torch.cat([h, OTHER_T, h], 1),
        stored={"c": OTHER},
    ),
    "Split": Case(
        [node("Split", ["h"], ["a", "b"], axis=2, num_outputs=2), node("Mul", ["a", "b"], ["y"])],
        lambda h: h[..., :2] * h[..., 2:],
    ),
    "Reshape": one("Reshape", lambda h: h.flatten(1), "c", stored={"c": ints(0, -1)}),
    "Transpose": one("Transpose", lambda h: h.transpose(1, 2), perm=[0, 2, 1]),
    "Squeeze": one("Squeeze", lambda h: h[:, 0], "c", shape=(1, 4), stored={"c": ints(1)}),
    "Unsqueeze": one("Unsqueeze", lambda h: h[:, None], "c", stored={"c": ints(1)}),
    "Expand": one("Expand", lambda h: h.expand(5, 2, 3, 4), "c", stored={"c": ints(5, 2, 3, 4)}),
    "Tile": one("Tile", lambda h: h.repeat(1, 2, 3), "c", stored={"c": ints(1, 2, 3)}),
    "Slice": one(
        "Slice",
        lambda h: h[..., 1:4:2],
        *"seat",
        stored={"s": ints(1), "e": ints(9), "a": ints(-1), "t": ints(2)},
    ),
    "Gather": one("Gather", lambda h: h[:, [2, 0, 2]], "c", axis=1, stored={"c": ints(2, 0, 2)}),
    "GatherElements": one(
        "GatherElements",
        lambda h: h.gather(2, torch.tensor(PLACES)),
        "c",
        axis=2,
        stored={"c": PLACES},
    ),
    "GatherND": one(
        "GatherND", lambda h: h[[0, 1], [2, 0]], "c", stored={"c": np.array([[0, 2], [1, 0]])}
    ),
    "ScatterND": one(
        "ScatterND",
        lambda h: h.index_put((torch.tensor([0, 1]), torch.tensor([2, 0])), OTHER_T[:, 0]),
        "i",
        "c",
        stored={"i": np.array([[0, 2], [1, 0]]), "c": OTHER[:, 0].copy()},
    ),
    "ScatterElements": one(
        "ScatterElements",
        lambda h: h.scatter(2, torch.tensor([[[0, 1]] * 3] * 2), OTHER_T[..., :2]),
        "i",
        "c",
        axis=2,
        stored={"i": np.array([[[0, 1]] * 3] * 2), "c": OTHER[..., :2].copy()},
    ),
    "Pad": one(
        "Pad", lambda h: functional.pad(h, (1, 2)), "c", stored={"c": ints(0, 0, 1, 0, 0, 2)}
    ),
    "TopK": Case(
        [node("TopK", ["h", "k"], ["y", "i"])], lambda h: h.topk(2).values, stored={"k": ints(2)}
    ),
}
