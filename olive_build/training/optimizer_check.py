"""Whether an optimizer's file is the recipe's optimizer, read from the file that ships.

Steps alone cannot tell: at small learning rates, another weight decay is less than rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.training.settings import RUNTIME_RATE, Optimizer

# fp32 of what the recipe says in decimals.
ROUNDING = 1e-6
OPTIMIZERS = ("AdamWOptimizer", "SGDOptimizerV2")
MICROSOFT = "com.microsoft"
# What the runtime gives an optimizer's file, in this order, and what it takes of it.
GIVEN = ("learning_rate", "step", "params", "gradients")
MOMENTS = {
    "adamw": ("first_order_moments", "second_order_moments"),
    "sgd": ("first_order_moments",),
}
TAKEN = ("updated",)
# 0 decays before the step, as torch.optim.AdamW: see optimizers.py.
TORCH_MODE = 0


@dataclass(frozen=True)
class Operator:
    """A node: its domain and name with a dot between, its ends, and attributes that are numbers."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class OptimizerGraph:
    """An optimizer's file, whatever its form; `constants` are its initializers of one number."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Operator, ...]
    constants: Mapping[str, float]


def read_with_onnx(path: Path) -> OptimizerGraph:
    """Return what an .onnx file holds."""
    import onnx

    from olive_build.onnx_files import models

    graph = models.read(path).graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    return OptimizerGraph(
        tuple(item.name for item in graph.input),
        tuple(item.name for item in graph.output),
        tuple(
            Operator(
                f"{node.domain}.{node.op_type}",
                tuple(node.input),
                tuple(node.output),
                {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
            )
            for node in graph.node
        ),
        {name: float(value.item()) for name, value in constants.items() if value.size == 1},
    )


def optimizer_differences(
    graph: OptimizerGraph, optimizer: Optimizer, rate: float, scale: float
) -> list[str]:
    """Return how a file differs from PyTorch's optimizer with the recipe's numbers.

    `rate` and `scale` are what the checkpoint says of the learning rate: the rate that steps are
    taken with, and by what the file multiplies what a client sets.
    """
    nodes = [node for node in graph.nodes if node.name.rpartition(".")[2] in OPTIMIZERS]
    if len(nodes) != 1:
        return [f"it has {len(nodes)} optimizers"]
    found = {"operator": nodes[0].name, **nodes[0].settings}
    wanted = _wanted(optimizer)
    differences = [
        f"{name} is {_text(found.get(name))}, not {_text(wanted.get(name))}"
        for name in sorted({*wanted, *found})
        if not _alike(found.get(name), wanted.get(name))
    ]
    rates = _of_rate(graph, nodes[0], optimizer.lr, rate, scale)
    return differences + rates + _of_ends(graph, nodes[0], optimizer)


def _wanted(optimizer: Optimizer) -> dict[str, Any]:
    if optimizer.name == "sgd":
        return {"operator": f"{MICROSOFT}.SGDOptimizerV2"}
    return {
        "operator": f"{MICROSOFT}.AdamWOptimizer",
        "alpha": optimizer.betas[0],
        "beta": optimizer.betas[1],
        "epsilon": optimizer.eps,
        "weight_decay": optimizer.weight_decay,
        "correct_bias": 1,
        "adam_mode": TORCH_MODE,
    }


def _of_ends(graph: OptimizerGraph, node: Operator, optimizer: Optimizer) -> list[str]:
    """Hold what goes in and out against what the runtime gives and takes, after the rate."""
    given = (*GIVEN, *MOMENTS[optimizer.name])
    read = given[1:] if optimizer.name == "adamw" else given[2:4]
    ends = (
        ("it takes", graph.inputs, given),
        ("it gives", graph.outputs, TAKEN),
        ("its optimizer reads", node.inputs[1:], read),
        ("its optimizer gives", node.outputs, TAKEN),
    )
    found = [
        f"{what} {_list(one)}, not {_list(other)}" for what, one, other in ends if one != other
    ]
    others = [n.name for n in graph.nodes if n is not node and n.outputs != node.inputs[:1]]
    return found + [f"it holds {name} as well" for name in others]


def _of_rate(
    graph: OptimizerGraph, node: Operator, wanted: float, rate: float, scale: float
) -> list[str]:
    """Follow the learning rate from the model's input to the optimizer."""
    factor, name = 1.0, next(iter(node.inputs), "")
    before = {output: item for item in graph.nodes for output in item.outputs}
    if name in before and before[name].name.rpartition(".")[2] == "Mul":
        ends = before[name].inputs
        values = [graph.constants[end] for end in ends if end in graph.constants]
        name = next((end for end in ends if end not in graph.constants), "")
        factor = math.prod(values) if values else math.nan
    found = []
    if name != GIVEN[0]:
        found.append("the learning rate of the client does not reach it")
    if not _alike(rate, wanted):
        found.append(f"the learning rate is {_text(rate)}, not {_text(wanted)}")
    if not _alike(factor, scale):
        found.append(f"it multiplies the rate by {_text(factor)}, not {_text(scale)}")
    if factor != 1 and not _alike(factor * RUNTIME_RATE, wanted):
        found.append(f"a client that sets no rate has {_text(factor * RUNTIME_RATE)}")
    return found


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING)
    return bool(one == other)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
