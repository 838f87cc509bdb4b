"""`train.optimizer`: PyTorch's options by name, and those that no device would heed."""

from __future__ import annotations

from olive_build.recipe.codes import Code
from olive_build.recipe.train import AdamWSpec, SgdSpec
from olive_build.recipe.trained_section import Section
from olive_build.recipe.training_numbers import (
    ABOVE_ZERO,
    BELOW_ONE,
    NOT_NEGATIVE,
    check_number,
)
from olive_build.training.settings import Optimizer

OPTIMIZER = "optimizer"
# Sources: `SGDOptimizerV2` and `AdamWOptimizer` in orttraining/core/graph/training_op_defs.cc of
# onnxruntime 1.19.2, their inputs and attributes.
NOT_IN_SGD = ("momentum", "dampening", "weight_decay", "nesterov", "maximize")
NOT_IN_ADAMW = ("amsgrad", "maximize")
_SGD_HAS = "onnxruntime's SGDOptimizerV2 has a learning rate alone: a device would ignore it"
_ADAMW_HAS = (
    "onnxruntime's AdamWOptimizer has betas, eps and weight_decay alone: a device would ignore it"
)
_INSTEAD = {
    "momentum": "leave it out, or write `method: adamw`, which keeps means of gradients",
    "weight_decay": "leave it out, or write `method: adamw`, which has it",
}


def optimizer_of(section: Section) -> Optimizer:
    """Return the optimizer, adamw with PyTorch's defaults where there is none.

    Reports numbers that mean nothing, and options of PyTorch that training runtimes do not have.
    """
    spec = section.fields.optimizer or AdamWSpec(method="adamw")
    check_number(section, (OPTIMIZER, "lr"), spec.lr, ABOVE_ZERO)
    if isinstance(spec, SgdSpec):
        _check_ignored(section, spec, NOT_IN_SGD, _SGD_HAS)
        return Optimizer("sgd", spec.lr)
    _check_betas(section, spec.betas)
    why = "a parameter whose gradient is 0 would become no number"
    check_number(section, (OPTIMIZER, "eps"), spec.eps, ABOVE_ZERO, why)
    check_number(section, (OPTIMIZER, "weight_decay"), spec.weight_decay, NOT_NEGATIVE)
    _check_ignored(section, spec, NOT_IN_ADAMW, _ADAMW_HAS)
    first, second = spec.betas if len(spec.betas) == 2 else (0.9, 0.999)
    return Optimizer("adamw", spec.lr, (first, second), spec.eps, spec.weight_decay)


def _check_betas(section: Section, betas: tuple[float, ...]) -> None:
    path = (OPTIMIZER, "betas")
    if len(betas) != 2 and not section.is_lost(*path):
        message = f"`betas` are two numbers, not {len(betas)}"
        hint = "write two, such as [0.9, 0.999]"
        notes = ("one is for the mean of gradients, the other for that of their squares",)
        section.add(Code.BAD_VALUE, path, message, hint=hint, notes=notes)
    for index, beta in enumerate(betas):
        check_number(section, (*path, index), beta, BELOW_ONE)


def _check_ignored(
    section: Section, spec: AdamWSpec | SgdSpec, names: tuple[str, ...], why: str
) -> None:
    for name in names:
        value = getattr(spec, name)
        if not value:
            continue
        shown = str(value).lower() if isinstance(value, bool) else f"{value:g}"
        hint = _INSTEAD.get(name, "leave it out") if spec.method == "sgd" else "leave it out"
        message = f"`{name}: {shown}` cannot be kept to by {spec.method} on a device"
        section.add(Code.CANNOT_RUN, (OPTIMIZER, name), message, hint=hint, notes=(why,))
