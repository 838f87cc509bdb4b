"""`train` -> Train: what its fields may be, each checked by itself; some only the model knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.recipe.build import DataSource
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.sections.train import TRAIN, Personalisation
from olive_build.recipe.sections.train.fields import (
    NOT_IN_ADAMW,
    NOT_IN_SGD,
    AdamWSpec,
    CrossEntropySpec,
    SgdSpec,
    TrainSpec,
)
from olive_build.recipe.shapes import given_shapes
from olive_build.training.settings import CLASS_LOSSES, Head, Lora, Loss, LossName, Optimizer, Train

if TYPE_CHECKING:
    from olive_build.recipe.context import Place
    from olive_build.recipe.tree import KeyPath

CROSS_ENTROPY: LossName = "cross-entropy"
WILDCARDS = "*?["
# What code of every language can hold in a plain string, and make a variable's name of.
GRAPH_NAME = r"(?=_*[A-Za-z])[A-Za-z_][A-Za-z0-9_]*"
# How onnxruntime's training blocks call the input with what is right, of classes and of numbers:
# orttraining/python/training/onnxblock/loss/loss.py of 1.19.2.
CLASS_INPUT, NUMBER_INPUT = "labels", "target"
# What the training graph calls its loss and, by their endings, gradients; `lazy_reset_grad` too.
LOSS_VALUE, GRADIENT_ENDING = "loss", "_grad"
LARGEST_COUNT = 65_536
LARGEST_SEED = 2**32 - 1
OPTIMIZER = "optimizer"
_SGD_HAS = "onnxruntime's SGDOptimizerV2 has a learning rate alone: a device would ignore it"
_ADAMW_HAS = (
    "onnxruntime's AdamWOptimizer has betas, eps and weight_decay alone: a device would ignore it"
)
_INSTEAD = {
    "momentum": "leave it out, or write `method: adamw`, which keeps means of gradients",
    "weight_decay": "leave it out, or write `method: adamw`, which has it",
}
BATCH_SIZE, EPOCHS = 8, 10
BATCH_AXIS = "batch_size"
# The only family with owners: the proof needs voices.
PERSONALISED = ("audio-classification",)
TRIALS_SUFFIX = ".npz"


@dataclass(frozen=True)
class Reading:
    """`fields` are the target's over the recipe's, each as a whole; None where neither has it."""

    place: Place
    fields: TrainSpec

    def where(self, *path: str | int) -> KeyPath:
        """Return where the field at `path` is written: the target's, the recipe's, or `train`."""
        context, own = self.place.context, ("targets", self.place.target.name, TRAIN)
        for layer in (own, (TRAIN,)):
            if path and context.given((*layer, path[0])):
                whole = (*layer, *path)
                return whole if context.written(whole) else (*layer, path[0])
        if context.given((TRAIN,)):
            return (TRAIN,)
        return own if context.given(own) else own[:2]

    def is_targets(self, field: str) -> bool:
        """Return whether the target itself gives a field."""
        return self.place.context.given(("targets", self.place.target.name, TRAIN, field))

    def is_lost(self, *path: str | int) -> bool:
        """Return whether something at or below `path` had a wrong type, so that nobody knows it."""
        whole = ((TRAIN, *path), ("targets", self.place.target.name, TRAIN, *path))
        gone = self.place.context.dropped
        return any(
            here[: len(lost)] == lost or lost[: len(here)] == here
            for here in whole
            for lost in gone
        )

    def add(
        self,
        code: Code,
        path: Sequence[str | int],
        message: str,
        *,
        hint: str,
        notes: Sequence[str] = (),
        key: bool = False,
        also: tuple[KeyPath, str] | None = None,
    ) -> None:
        """Report something about the field at `path`; about `train` where it is not written."""
        at = self.where(*path)
        key = key or at[-1] == TRAIN
        self.place.context.add(code, at, message, hint=hint, notes=notes, key=key, also=also)


def reading_of(place: Place) -> Reading:
    """Return the `train` of a target, whose fields win over the recipe's."""
    layers = getattr(place.spec, TRAIN), getattr(place.context.recipe, TRAIN)
    own, common = (layer or TrainSpec() for layer in layers)
    given = {name: getattr(own, name) for name in TrainSpec.model_fields}
    merged = {k: getattr(common, k) if v is None else v for k, v in given.items()}
    return Reading(place, TrainSpec.model_construct(**merged))


@dataclass(frozen=True)
class Bounds:
    """Which numbers mean something, and how to say so."""

    holds: Callable[[float], bool]
    hint: str


ABOVE_ZERO = Bounds(lambda value: value > 0, "write a number above 0")
NOT_NEGATIVE = Bounds(lambda value: value >= 0, "write 0 or more")
BELOW_ONE = Bounds(lambda value: 0 <= value < 1, "write a number from 0 to below 1")
BELOW_HALF = Bounds(lambda value: 0 < value < 0.5, "write a number between 0 and 0.5")
COUNT = Bounds(lambda value: 1 <= value <= LARGEST_COUNT, f"write 1 to {LARGEST_COUNT}")
SEED = Bounds(lambda value: 0 <= value <= LARGEST_SEED, f"write 0 to {LARGEST_SEED}")


def check_number(
    train: Reading, path: tuple[str | int, ...], value: float, bounds: Bounds, why: str = ""
) -> bool:
    """Report a number out of its bounds; return whether it is within them."""
    if bounds.holds(value):
        return True
    name = next(str(key) for key in reversed(path) if isinstance(key, str))
    short = f"{value:g}"
    shown = short if isinstance(value, float) and float(short) == value else str(value)[:40]
    message = f"`{name}` cannot be {shown}"
    notes = (why,) if why else ()
    train.add(Code.BAD_VALUE, path, message, hint=bounds.hint, notes=notes)
    return False


def check_patterns(train: Reading, patterns: tuple[str, ...] | None, *path: str) -> tuple[str, ...]:
    """Return the patterns at `path`; report those that are written twice or match nothing."""
    patterns = patterns or ()
    for index, pattern in enumerate(patterns):
        if not pattern.strip():
            message = f"`{path[-1]}` holds an empty pattern"
            train.add(Code.BAD_VALUE, (*path, index), message, hint="remove it; '*' is for all")
        elif pattern in patterns[:index]:
            message = f"the pattern '{pattern}' is named twice"
            train.add(Code.CONFLICT, (*path, index), message, hint="remove one of the two")
    return patterns


def loss_of(train: Reading) -> Loss:
    """Return the loss, cross-entropy if there is none; report weights that mean nothing."""
    spec = train.fields.loss
    if spec is None:
        return Loss(CROSS_ENTROPY)
    if spec.output is not None and not spec.output.strip():
        message, hint = "the loss is taken of an output without a name", "name it, or leave it out"
        train.add(Code.BAD_VALUE, ("loss", "output"), message, hint=hint)
    weights = spec.class_weights if isinstance(spec, CrossEntropySpec) else None
    path = ("loss", "class_weights")
    for index, weight in enumerate(weights or ()):
        why = "a class that counts for nothing is never learned"
        check_number(train, (*path, index), weight, ABOVE_ZERO, why)
    if weights is not None and not train.is_lost(*path):
        _check_number_of_weights(train, weights)
    return Loss(spec.method, weights or (), spec.output)


def _check_number_of_weights(train: Reading, weights: tuple[float, ...]) -> None:
    path, head = ("loss", "class_weights"), train.fields.head
    if not weights:
        hint = "write one for each class, or leave it out where all count alike"
        train.add(Code.BAD_VALUE, path, "`class_weights` is empty", hint=hint)
    elif head is not None and len(weights) != head.classes and not train.is_lost("head"):
        train.add(
            Code.CONFLICT,
            path,
            f"{_counted(head.classes, 'class')} and {_counted(len(weights), 'weight')} of classes",
            hint=f"write {_counted(head.classes, 'weight')}, in the order of the classes",
            also=(train.where("head", "classes"), "the classes"),
        )


def _counted(number: int, noun: str) -> str:
    many = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else many}"


def head_of(train: Reading) -> Head | None:
    """Return the new head with its labels, if any; report what it cannot be."""
    spec = train.fields.head
    if spec is None:
        return None
    _check_layer(train, spec.replace)
    labels = spec.labels
    if not _check_classes(train, spec.classes):
        return Head(spec.replace, spec.classes, labels or (), spec.init)
    if labels is None:
        named = tuple(f"class-{number}" for number in range(spec.classes))
        return Head(spec.replace, spec.classes, named, spec.init)
    _check_labels(train, labels)
    if len(labels) != spec.classes and not train.is_lost("head", "labels"):
        train.add(
            Code.CONFLICT,
            ("head", "labels"),
            f"{_counted(spec.classes, 'class')} and {_counted(len(labels), 'label')} for them",
            hint=f"write {_counted(spec.classes, 'label')}, or leave `labels` out",
            also=(train.where("head", "classes"), "the classes"),
        )
    return Head(spec.replace, spec.classes, labels, spec.init)


def _check_layer(train: Reading, name: str) -> None:
    if not name.strip() or any(character in name for character in WILDCARDS):
        train.add(
            Code.BAD_VALUE,
            ("head", "replace"),
            f"'{name}' is no name of a layer",
            hint="name one layer in full, such as classifier",
            notes=("one linear layer gives way to the new one; patterns are for `requires_grad`",),
        )
        return
    for index, pattern in enumerate(train.fields.frozen or ()):
        if pattern.strip() and fnmatchcase(f"{name}.weight", pattern):
            train.add(
                Code.CONFLICT,
                ("frozen", index),
                f"'{pattern}' would freeze the new head, '{name}'",
                hint="write patterns that leave it out",
                notes=("its weights are random at first, and have to learn",),
            )


def _check_classes(train: Reading, classes: int) -> bool:
    """Return whether there are as many classes as the loss needs, and no absurd number."""
    loss = train.fields.loss
    method = loss.method if loss is not None else CROSS_ENTROPY
    if classes == 1 and method == CROSS_ENTROPY and not train.is_lost("loss"):
        train.add(
            Code.CONFLICT,
            ("head", "classes"),
            "cross-entropy needs 2 classes or more, and the head has 1",
            hint="write `classes: 2`, or `loss: {method: bce-with-logits}` for a yes or no",
            notes=("the probabilities of classes add up to 1, so a single one's is always 1",),
        )
        return False
    return check_number(train, ("head", "classes"), classes, COUNT)


def _check_labels(train: Reading, labels: tuple[str, ...]) -> None:
    for index, label in enumerate(labels):
        path = ("head", "labels", index)
        if label in labels[:index]:
            message = f"the label '{label}' is named twice"
            notes = ("examples lie in folders of these names, and two would have one",)
            train.add(Code.CONFLICT, path, message, hint="rename one of the two", notes=notes)
        elif not _is_folder(label):
            train.add(
                Code.BAD_VALUE,
                path,
                f"'{label}' cannot be a label",
                hint="write a name that a folder can have, without slashes or spaces around it",
                notes=("examples of a class lie in a folder of its name",),
            )


def _is_folder(label: str) -> bool:
    plain = label.isprintable() and label == label.strip() and not label.startswith(".")
    return bool(label) and plain and not any(character in label for character in '/\\:*?"<>|')


def lora_of(train: Reading) -> Lora | None:
    """Return the adapters, if any; report what they cannot be."""
    spec = train.fields.lora
    if spec is None:
        return None
    modules = check_patterns(train, spec.modules, "lora", "modules")
    if not modules and not train.is_lost("lora", "modules"):
        message, hint = "`lora` names no modules", "name linear layers, such as '*.query'"
        train.add(Code.BAD_VALUE, ("lora", "modules"), message, hint=hint)
    check_number(train, ("lora", "rank"), spec.rank, COUNT)
    check_number(train, ("lora", "alpha"), spec.alpha, ABOVE_ZERO)
    return Lora(modules, spec.rank, spec.alpha)


def rename_of(train: Reading, loss: Loss) -> tuple[tuple[str, str], ...]:
    """Return the new names of inputs and outputs by their own, sorted; report those that clash."""
    renamed = train.fields.rename or {}
    taken: dict[str, str] = {}
    for name, new in renamed.items():
        path = ("rename", name)
        if not re.fullmatch(GRAPH_NAME, new):
            message, hint = f"'{new}' is no name of an input or output", "use letters, digits and _"
            notes = ("applications name it in their code: a letter at first, or _ and then one",)
            train.add(Code.BAD_VALUE, path, message, hint=hint, notes=notes)
        elif new in taken:
            message = f"'{taken[new]}' and '{name}' would both be called '{new}'"
            other = (train.where("rename", taken[new]), "the other")
            hint = "give each a name of its own"
            train.add(Code.CONFLICT, path, message, hint=hint, also=other)
        elif why := _kept(train, new, loss):
            message, hint = f"the name '{new}' is taken in training graphs", "give it another name"
            train.add(Code.CONFLICT, path, message, hint=hint, notes=(why,))
        else:
            taken[new] = name
    return tuple(sorted(renamed.items()))


def _kept(train: Reading, new: str, loss: Loss) -> str:
    """Return why the training graph needs a name itself, empty where it does not."""
    given = CLASS_INPUT if loss.name in CLASS_LOSSES else NUMBER_INPUT
    if new == LOSS_VALUE:
        return "the training graph's first output is the loss, under that name"
    if new.endswith(GRADIENT_ENDING):
        return f"gradients have names that end in {GRADIENT_ENDING}"
    if new == given and not train.is_lost("loss"):
        return f"{loss.name} is given what is right by an input of that name"
    if new in (CLASS_INPUT, NUMBER_INPUT):
        return f"losses are given classes as {CLASS_INPUT} and numbers as {NUMBER_INPUT}"
    return ""


def check_something_learns(train: Reading) -> None:
    """Report a `train` in which nothing learns, and exceptions to nothing."""
    fields = train.fields
    whole = ("requires_grad", "head", "lora")
    if not any((fields.requires_grad, fields.head, fields.lora)) and not any(
        train.is_lost(name) for name in whole
    ):
        train.add(
            Code.MISSING_FIELD,
            ("requires_grad",),
            "`train` names nothing that learns",
            hint="add `requires_grad`, `head` or `lora`",
            notes=("all parameters would stay frozen, and every step would change nothing",),
        )
    _check_frozen(train)


def _check_frozen(train: Reading) -> None:
    fields = train.fields
    learning, frozen = fields.requires_grad or (), fields.frozen or ()
    # A target may switch off what the recipe says for all; then nothing is meant by it there.
    switched_off = train.is_targets("requires_grad") and not train.is_targets("frozen")
    if frozen and not learning and not switched_off and not train.is_lost("requires_grad"):
        train.add(
            Code.CONFLICT,
            ("frozen",),
            "`frozen` says nothing without `requires_grad`",
            hint="add `requires_grad`, or remove it",
            notes=("what no pattern of `requires_grad` matches is frozen anyway",),
            key=True,
        )
    for index, pattern in enumerate(frozen):
        if pattern.strip() and pattern in learning:
            message = f"'{pattern}' is both to learn and frozen"
            hint = "remove it here, or from `requires_grad`"
            train.add(Code.CONFLICT, ("frozen", index), message, hint=hint)


def optimizer_of(train: Reading) -> Optimizer:
    """Return the optimizer, adamw with PyTorch's defaults if there is none.

    Reports numbers that mean nothing, and options of PyTorch that training runtimes do not have.
    """
    spec = train.fields.optimizer or AdamWSpec(method="adamw")
    check_number(train, (OPTIMIZER, "lr"), spec.lr, ABOVE_ZERO)
    if isinstance(spec, SgdSpec):
        _check_ignored(train, spec, NOT_IN_SGD, _SGD_HAS)
        return Optimizer("sgd", spec.lr)
    _check_betas(train, spec.betas)
    why = "a parameter whose gradient is 0 would become no number"
    check_number(train, (OPTIMIZER, "eps"), spec.eps, ABOVE_ZERO, why)
    check_number(train, (OPTIMIZER, "weight_decay"), spec.weight_decay, NOT_NEGATIVE)
    _check_ignored(train, spec, NOT_IN_ADAMW, _ADAMW_HAS)
    first, second = spec.betas if len(spec.betas) == 2 else (0.9, 0.999)
    return Optimizer("adamw", spec.lr, (first, second), spec.eps, spec.weight_decay)


def _check_betas(train: Reading, betas: tuple[float, ...]) -> None:
    path = (OPTIMIZER, "betas")
    if len(betas) != 2 and not train.is_lost(*path):
        message = f"`betas` are two numbers, not {len(betas)}"
        hint = "write two, such as [0.9, 0.999]"
        notes = ("one is for the mean of gradients, the other for that of their squares",)
        train.add(Code.BAD_VALUE, path, message, hint=hint, notes=notes)
    for index, beta in enumerate(betas):
        check_number(train, (*path, index), beta, BELOW_ONE)


def _check_ignored(
    train: Reading, spec: AdamWSpec | SgdSpec, names: tuple[str, ...], why: str
) -> None:
    for name in names:
        value = getattr(spec, name)
        if not value:
            continue
        shown = str(value).lower() if isinstance(value, bool) else f"{value:g}"
        hint = _INSTEAD.get(name, "leave it out") if spec.method == "sgd" else "leave it out"
        message = f"`{name}: {shown}` cannot be kept to by {spec.method} on a device"
        train.add(Code.CANNOT_RUN, (OPTIMIZER, name), message, hint=hint, notes=(why,))


def train_for(place: Place) -> Train:
    """Return what a target's files learn and how.

    Reports everything that the section cannot mean, but for names that only the model knows.
    """
    read = reading_of(place)
    fields, loss = read.fields, loss_of(read)
    train = Train(
        requires_grad=check_patterns(read, fields.requires_grad, "requires_grad"),
        frozen=check_patterns(read, fields.frozen, "frozen"),
        head=head_of(read),
        lora=lora_of(read),
        loss=loss,
        optimizer=optimizer_of(read),
        rename=rename_of(read, loss),
        batch_size=_batch_size(read),
        epochs=EPOCHS if fields.epochs is None else fields.epochs,
        seed=fields.seed or 0,
        nominal_checkpoint=bool(fields.nominal_checkpoint),
    )
    check_number(read, ("epochs",), train.epochs, COUNT)
    check_number(read, ("seed",), train.seed, SEED)
    check_something_learns(read)
    _check_personalisation(read, train)
    return train


def _batch_size(read: Reading) -> int:
    given, fixed = read.fields.batch_size, given_shapes(read.place).get(BATCH_AXIS)
    if given is None:
        return BATCH_SIZE if fixed is None else fixed
    sound = check_number(read, (BATCH_AXIS,), given, COUNT)
    if sound and fixed is not None and given != fixed:
        name = read.place.target.name
        shapes = (*read.place.where("export", "shapes"), BATCH_AXIS)
        read.add(
            Code.CONFLICT,
            (BATCH_AXIS,),
            f"`batch_size` is {given}, and the graphs for '{name}' take {fixed} at once",
            hint=f"leave it out, or write {fixed}",
            notes=(
                "`export.shapes` fixes the size, and no other batch would fit",
                f"`targets.{name}.train` can say it for '{name}' alone",
            ),
            also=(shapes, "the fixed size"),
        )
    return given


def personalisation_for(place: Place) -> Personalisation | None:
    """Return what a target's personalised model is tried on and held to, if anything."""
    read = reading_of(place)
    spec = read.fields.personalisation
    if spec is None:
        return None
    found = place.context.file(spec.trials.file, read.where("personalisation", "trials", "file"))
    trials = DataSource(None, place.context.relative(found) if found else spec.trials.file)
    return Personalisation(trials, spec.equal_error_rate, spec.margin, spec.errors_at_margin)


def _check_personalisation(read: Reading, train: Train) -> None:
    family = read.place.family
    spec, path = read.fields.personalisation, ("personalisation",)
    if spec is None:
        return
    if family.name not in PERSONALISED:
        message = f"`personalisation` says nothing to models of {family.name}"
        notes = (f"it is for {', '.join(PERSONALISED)}: it tells an owner's voice from others'",)
        read.add(Code.CANNOT_RUN, path, message, hint="remove it", notes=notes, key=True)
        return
    check_number(read, (*path, "equal_error_rate"), spec.equal_error_rate, BELOW_HALF)
    if spec.errors_at_margin is not None:
        check_number(read, (*path, "errors_at_margin"), spec.errors_at_margin, BELOW_HALF)
    _check_trials(read, spec.trials.file)
    if train.loss.name != CROSS_ENTROPY and not read.is_lost("loss"):
        read.add(
            Code.CONFLICT,
            ("loss", "method"),
            f"`personalisation` needs cross-entropy, not {train.loss.name}",
            hint="write `method: cross-entropy`, or remove `personalisation`",
            notes=("a trial is scored by how far the second class, the owner, is above the first",),
            also=(read.where(*path), "the proof that needs it"),
        )
    if train.head is not None and train.head.classes != 2:
        read.add(
            Code.CONFLICT,
            ("head", "classes"),
            f"`personalisation` needs 2 classes, and the head has {train.head.classes}",
            hint="write `classes: 2`, or remove `personalisation`",
            notes=("the first is everybody else, the second the owner",),
            also=(read.where(*path), "the proof that needs it"),
        )


def _check_trials(read: Reading, text: str) -> None:
    path = ("personalisation", "trials", "file")
    found = read.place.context.file(text, read.where(*path))
    if found is None:
        return
    if Path(text).suffix != TRIALS_SUFFIX:
        message, hint = f"'{text}' is no {TRIALS_SUFFIX} file", "use numpy.savez_compressed"
        read.add(Code.BAD_PATH, path, message, hint=hint)
    elif not found.is_file():
        message, hint = f"there is no file '{text}'", "give its path relative to this file"
        read.add(Code.BAD_PATH, path, message, hint=hint)
