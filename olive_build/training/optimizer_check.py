"""Whether an optimizer_model.onnx is the recipe's optimizer, read from the file that ships.

Steps alone cannot tell: at small learning rates, another weight decay is less than rounding.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from olive_build.training.optimizers import optimizer_model
from olive_build.training.settings import RUNTIME_RATE, Optimizer

# fp32 of what the recipe says in decimals.
ROUNDING = 1e-6
OPTIMIZERS = ("AdamWOptimizer", "SGDOptimizerV2")


def optimizer_differences(path: Path, optimizer: Optimizer, rate: float, scale: float) -> list[str]:
    """Say in what the file in `path` differs from PyTorch's optimizer with the recipe's numbers.

    `rate` and `scale` are what the checkpoint says of the learning rate: the rate that steps are
    taken with, and by what the file multiplies what a client sets.
    """
    import onnx

    model = onnx.load(str(path))
    nodes = [node for node in model.graph.node if node.op_type in OPTIMIZERS]
    wanted = _settings(next(iter(optimizer_model(optimizer, 18).graph.node)))
    if len(nodes) != 1:
        return [f"it has {len(nodes)} optimizers"]
    found = _settings(nodes[0])
    differences = [
        f"{name} is {_text(found.get(name))}, not {_text(wanted.get(name))}"
        for name in sorted({*wanted, *found})
        if not _alike(found.get(name), wanted.get(name))
    ]
    return differences + _of_rate(model, nodes[0], optimizer.lr, rate, scale)


def _settings(node: Any) -> dict[str, Any]:
    import onnx

    return {
        "operator": f"{node.domain}.{node.op_type}",
        **{item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
    }


def _of_rate(model: Any, node: Any, wanted: float, rate: float, scale: float) -> list[str]:
    """Follow the learning rate from the model's input to the optimizer."""
    from onnx import numpy_helper

    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    factor, name = 1.0, node.input[0]
    before = {node.output[0]: node for node in model.graph.node}
    if name in before and before[name].op_type == "Mul":
        values = [float(constants[i].item()) for i in before[name].input if i in constants]
        name = next((i for i in before[name].input if i not in constants), "")
        factor = math.prod(values) if values else math.nan
    found = []
    if name != "learning_rate":
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
