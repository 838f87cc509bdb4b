"""How near training is to PyTorch's, and how often a personalised model errs."""

from __future__ import annotations

from olive_build.proof.figures import COUNT, DIFFERENCE, SHARE, Figure

# A step in fp32 from the same state: what differs is the order of sums.
_LOSSES = 1e-5
# Twenty steps that each go on from the last, so that rounding grows: a ReLU on the other side of
# zero parted two right trainings by 2e-3. At a rate of 0.01, moments that are lost between steps
# change .1, gradients that are not reset .25; smaller faults are seen in the single steps.
_FREE = 0.05
# Relative to the gradient's length, for each parameter by itself.
_GRADIENTS = 1e-4
# Relative to how far PyTorch's moved in that step, for each parameter by itself: 1e-5, and more at
# the first step, where AdamW makes a whole step of what rounding leaves of a gradient. The AdamW of
# onnxruntime, or another weight decay that matters, are 3e-2 and more.
_PARAMETERS = 5e-3
# The same model in two versions of onnxruntime, or in PyTorch.
_INFERENCE = 1e-5


FREE_HINT = (
    "each step by itself is PyTorch's; twenty in a row are not. If the losses jump up and down, "
    "the learning rate is too high for rounding to stay small: lower train.optimizer.lr. If they "
    "fall, the fault lies in what one step leaves to the next: please report it"
)
STEP_HINT = (
    "a step is not PyTorch's from the same parameters and moments, so a device would learn "
    "something else: please report it with the recipe; until then freeze the layer that is named, "
    "or what lies below it"
)


def _difference(name: str, title: str, limit: float, short: str = "", hint: str = "") -> Figure:
    return Figure(name, title, DIFFERENCE, "less", short=short, limit=limit, hint=hint)


def _count(name: str, title: str) -> Figure:
    return Figure(name, title, COUNT, "less", limit=0)


def _errors(name: str, title: str) -> Figure:
    return Figure(name, title, SHARE, "less")


FIGURES = (
    _difference(
        "losses_difference",
        "losses from recorded states, against PyTorch",
        _LOSSES,
        "Losses within",
        STEP_HINT,
    ),
    _difference(
        "gradient_difference",
        "gradients from recorded states, against PyTorch's, relative",
        _GRADIENTS,
        "Gradients within",
        STEP_HINT,
    ),
    _difference(
        "parameters_difference",
        "parameters after a step, against PyTorch's, relative to their move",
        _PARAMETERS,
        "Parameters within",
        STEP_HINT,
    ),
    _difference(
        "free_difference",
        "losses of 20 steps in a row, against PyTorch",
        _FREE,
        hint=FREE_HINT,
    ),
    _count("start_difference", "trained parameters that begin as others than PyTorch's"),
    _count("optimizer_difference", "settings of the optimizer's file, against the recipe's"),
    _difference(
        "eval_difference",
        "evaluation model's outputs after the steps, against PyTorch's",
        _INFERENCE,
        "Outputs within",
    ),
    _difference(
        "eval_loss_difference",
        "evaluation model's loss after the steps, against PyTorch's",
        _LOSSES,
    ),
    _count("frozen_changed", "frozen parameters that changed"),
    _count("inference_changed", "inference changed"),
    _count("resume_difference", "steps that differ after a resume"),
    _difference(
        "ort_difference",
        "losses and outputs of the .ort files, against the .onnx files",
        _INFERENCE,
    ),
    _count("nominal_difference", "steps that differ from a nominal checkpoint"),
    _difference(
        "inference_difference",
        "trained model in the current onnxruntime, against the training one",
        _INFERENCE,
        "In two runtimes within",
    ),
    _difference(
        "trained_difference",
        "trained model in the current onnxruntime, against PyTorch",
        _INFERENCE,
        "Trained model within",
    ),
    _errors("equal_error_rate", "equal error rate of owners and impostors"),
    _errors("refused_at_margin", "owners refused at the margin"),
    _errors("let_in_at_margin", "others let in at the margin"),
)
