"""The section `train`: what goes on learning on the device. What each field does, and its default.

Names and defaults are PyTorch's (torch.optim.AdamW, torch.optim.SGD and the losses of torch.nn),
and those of LoRA are peft's. What a field may be beyond its type is said in `checks`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from olive_build.recipe.fields import Strict


class HeadSpec(Strict):
    """A new last layer, for classes of your own."""

    replace: str = Field(
        description="The name of the linear layer that gives way, such as classifier. The new one "
        "has as many inputs."
    )
    classes: int = Field(description="How many numbers the new layer gives: one for each class.")
    labels: tuple[str, ...] | None = Field(
        default=None,
        description="The classes' names in order, which are folders of examples too. Left out, "
        "class-0, class-1 and so on.",
    )
    init: Literal["random", "zeros"] = Field(
        default="random",
        description="random is PyTorch's own for a new layer, seeded. zeros finds all classes "
        "equally likely at first: better where few examples follow.",
    )


class LoraSpec(Strict):
    """Low-rank adapters: small trainable matrices beside large frozen ones."""

    modules: tuple[str, ...] = Field(
        description="Shell patterns of the names of linear layers; one that matches none fails "
        "the build."
    )
    rank: int = Field(
        default=8,
        description="The inner width of the added matrices: more can learn more, and is larger. 8 "
        "is peft's default.",
    )
    alpha: float = Field(
        default=8.0,
        description="What is added is multiplied by alpha / rank. 8 is peft's default.",
    )


_OUTPUT: Any = Field(
    default=None,
    description="The output that the loss is taken of, by its name after `rename`. Left out, the "
    "last one.",
)


class CrossEntropySpec(Strict):
    """One of several classes, as torch.nn.CrossEntropyLoss has it: a number of a class each."""

    method: Literal["cross-entropy"] = Field(description="For classes: which one is it?")
    class_weights: tuple[float, ...] | None = Field(
        default=None,
        description="How much an example of each class counts, in the order of the classes: [1, 4] "
        "where the second is rare. Left out, all alike.",
    )
    output: str | None = _OUTPUT


class MseSpec(Strict):
    """Numbers, by their squared distance, as torch.nn.MSELoss has it."""

    method: Literal["mse"] = Field(description="For numbers: large errors count most.")
    output: str | None = _OUTPUT


class BceWithLogitsSpec(Strict):
    """Several yes or no at once, as torch.nn.BCEWithLogitsLoss has it: 0 or 1 for each output."""

    method: Literal["bce-with-logits"] = Field(description="For labels that do not exclude others.")
    output: str | None = _OUTPUT


class L1Spec(Strict):
    """Numbers, by their distance, as torch.nn.L1Loss has it."""

    method: Literal["l1"] = Field(description="For numbers: outliers count less than with mse.")
    output: str | None = _OUTPUT


def _ignored(default: float) -> Any:
    """Return the field of an option that a device would ignore."""
    alone = json.dumps(default).removesuffix(".0")
    about = f"PyTorch's option; {alone} alone, since a device would ignore it."
    return Field(default=default, description=about)


class AdamWSpec(Strict):
    """torch.optim.AdamW: a step for each parameter by its own gradients so far."""

    method: Literal["adamw"] = Field(description="For most models, and always with LoRA.")
    lr: float = Field(default=1e-3, description="The learning rate: above 0.")
    betas: tuple[float, ...] = Field(
        default=(0.9, 0.999),
        description="How much of the means of gradients and of their squares is kept at each step.",
    )
    eps: float = Field(default=1e-8, description="Keeps divisions away from 0: above 0.")
    weight_decay: float = Field(
        default=0.01, description="How much of a parameter is taken off, times lr, at each step."
    )
    amsgrad: bool = _ignored(False)
    maximize: bool = _ignored(False)


class SgdSpec(Strict):
    """torch.optim.SGD: lr times the gradient, and nothing kept between steps."""

    method: Literal["sgd"] = Field(description="For the smallest files, where a few steps do.")
    lr: float = Field(default=1e-3, description="The learning rate: above 0.")
    momentum: float = _ignored(0.0)
    dampening: float = _ignored(0.0)
    weight_decay: float = _ignored(0.0)
    nesterov: bool = _ignored(False)
    maximize: bool = _ignored(False)


# Sources: `SGDOptimizerV2` and `AdamWOptimizer` in orttraining/core/graph/training_op_defs.cc of
# onnxruntime 1.19.2, their inputs and attributes.
NOT_IN_SGD = ("momentum", "dampening", "weight_decay", "nesterov", "maximize")
NOT_IN_ADAMW = ("amsgrad", "maximize")
LOSSES: dict[str, type[Strict]] = {
    "cross-entropy": CrossEntropySpec,
    "mse": MseSpec,
    "bce-with-logits": BceWithLogitsSpec,
    "l1": L1Spec,
}
OPTIMIZERS: dict[str, type[Strict]] = {"adamw": AdamWSpec, "sgd": SgdSpec}
LossSpec = Annotated[
    CrossEntropySpec | MseSpec | BceWithLogitsSpec | L1Spec, Field(discriminator="method")
]
OptimizerSpec = Annotated[AdamWSpec | SgdSpec, Field(discriminator="method")]


class TrialsSpec(Strict):
    """Recordings that a personalised model is tried on."""

    file: str = Field(
        description="A .npz file of the repository, relative to this file, with the owners' clips "
        "and the phrases to try: of 4 owners or more, each with 40 phrases and 400 of others."
    )


class PersonalisationSpec(Strict):
    """A proof that what is trained on an owner's clips tells the owner's voice from others'."""

    trials: TrialsSpec = Field(
        description="Who is tried, and on what: {file: my-voice/trials.npz}."
    )
    equal_error_rate: float = Field(
        default=0.05,
        description="The largest share of owners refused that equals the share of others let in: "
        "0.05 is 5 %.",
    )
    margin: float = Field(
        default=0.0,
        description="An application takes a voice for the owner's where its output for the owner "
        "is above the other by more than this. It goes into the bundle; find it with voices that "
        "are in no trial.",
    )
    errors_at_margin: float | None = Field(
        default=None,
        description="The largest share of owners refused, and of others let in, at the margin. "
        "Left out, both are measured and held to nothing.",
    )


class TrainSpec(Strict):
    """What goes on learning on the device, and how."""

    requires_grad: tuple[str, ...] | None = Field(
        default=None,
        description="Shell patterns of the names of parameters that learn, as PyTorch's "
        "named_parameters() gives them; one that matches none fails the build. May be left out "
        "where there is a `head` or `lora`.",
    )
    frozen: tuple[str, ...] | None = Field(
        default=None,
        description="Shell patterns of exceptions to `requires_grad`, which stay as they are. Left "
        "out, none.",
    )
    head: HeadSpec | None = Field(
        default=None, description="A new last layer, which learns. Left out, the model's own stays."
    )
    lora: LoraSpec | None = Field(
        default=None, description="Low-rank adapters, which learn. Left out, none."
    )
    loss: LossSpec | None = Field(
        default=None, description="What is made small. Left out, cross-entropy."
    )
    optimizer: OptimizerSpec | None = Field(
        default=None,
        description="How parameters follow their gradients. Left out, adamw with PyTorch's "
        "defaults.",
    )
    rename: dict[str, str] | None = Field(
        default=None,
        description="Other names for the inputs and outputs of the graphs, by the model's own: "
        "{input_values: input, logits: output}. Letters, digits and _; not loss, labels or target.",
    )
    batch_size: int | None = Field(
        default=None,
        description="How many examples make a step, in `olive-build train` and `personalisation`. "
        "Left out, that of `export.shapes`, or 8.",
    )
    epochs: int | None = Field(
        default=None,
        description="How often `olive-build train` and `personalisation` go through the examples. "
        "Left out, 10.",
    )
    seed: int | None = Field(
        default=None,
        description="Another seed gives other first weights to `head` and `lora`, and another "
        "order of the examples. Left out, 0.",
    )
    nominal_checkpoint: bool | None = Field(
        default=None,
        description="true adds a checkpoint of a few kB, without the parameters, for "
        "apps that get those later. Left out, false.",
    )
    personalisation: PersonalisationSpec | None = Field(
        default=None,
        description="A proof on an owner's and others' voices; for audio classification with two "
        "classes. Left out, none.",
    )


# Bounds of numbers that do not depend on others, for editors; the loader gives the reasons.
LOWEST = {
    "HeadSpec": {"classes": ("minimum", 1)},
    "LoraSpec": {"rank": ("minimum", 1), "alpha": ("exclusiveMinimum", 0)},
    "AdamWSpec": {
        "lr": ("exclusiveMinimum", 0),
        "eps": ("exclusiveMinimum", 0),
        "weight_decay": ("minimum", 0),
    },
    "SgdSpec": {"lr": ("exclusiveMinimum", 0)},
    "TrainSpec": {
        "batch_size": ("minimum", 1),
        "epochs": ("minimum", 1),
        "seed": ("minimum", 0),
    },
}
