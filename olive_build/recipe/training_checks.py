"""What `train` names: layers, parameters, classes, inputs and outputs, each checked by itself."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from olive_build.recipe.codes import Code
from olive_build.recipe.train import CrossEntropySpec
from olive_build.recipe.trained_section import Section
from olive_build.recipe.training_numbers import ABOVE_ZERO, COUNT, check_number
from olive_build.training.settings import CLASS_LOSSES, Head, Lora, Loss, LossName

CROSS_ENTROPY: LossName = "cross-entropy"
WILDCARDS = "*?["
# What code of every language can hold in a plain string, and make a variable's name of.
GRAPH_NAME = r"(?=_*[A-Za-z])[A-Za-z_][A-Za-z0-9_]*"
# How onnxruntime's training blocks call the input with what is right, of classes and of numbers:
# orttraining/python/training/onnxblock/loss/loss.py of 1.19.2.
CLASS_INPUT, NUMBER_INPUT = "labels", "target"
# What the training graph calls its loss and, by their endings, gradients; `lazy_reset_grad` too.
LOSS_VALUE, GRADIENT_ENDING = "loss", "_grad"


def check_patterns(
    section: Section, patterns: tuple[str, ...] | None, *path: str
) -> tuple[str, ...]:
    """Return the patterns at `path`; report those that are written twice or match nothing."""
    patterns = patterns or ()
    for index, pattern in enumerate(patterns):
        if not pattern.strip():
            message = f"`{path[-1]}` holds an empty pattern"
            section.add(Code.BAD_VALUE, (*path, index), message, hint="remove it; '*' is for all")
        elif pattern in patterns[:index]:
            message = f"the pattern '{pattern}' is named twice"
            section.add(Code.CONFLICT, (*path, index), message, hint="remove one of the two")
    return patterns


def loss_of(section: Section) -> Loss:
    """Return the loss, cross-entropy where there is none; report weights that mean nothing."""
    spec = section.fields.loss
    if spec is None:
        return Loss(CROSS_ENTROPY)
    if spec.output is not None and not spec.output.strip():
        message, hint = "the loss is taken of an output without a name", "name it, or leave it out"
        section.add(Code.BAD_VALUE, ("loss", "output"), message, hint=hint)
    weights = spec.class_weights if isinstance(spec, CrossEntropySpec) else None
    path = ("loss", "class_weights")
    for index, weight in enumerate(weights or ()):
        why = "a class that counts for nothing is never learned"
        check_number(section, (*path, index), weight, ABOVE_ZERO, why)
    if weights is not None and not section.is_lost(*path):
        _check_number_of_weights(section, weights)
    return Loss(spec.method, weights or (), spec.output)


def _check_number_of_weights(section: Section, weights: tuple[float, ...]) -> None:
    path, head = ("loss", "class_weights"), section.fields.head
    if not weights:
        hint = "write one for each class, or leave it out where all count alike"
        section.add(Code.BAD_VALUE, path, "`class_weights` is empty", hint=hint)
    elif head is not None and len(weights) != head.classes and not section.is_lost("head"):
        section.add(
            Code.CONFLICT,
            path,
            f"{_counted(head.classes, 'class')} and {_counted(len(weights), 'weight')} of classes",
            hint=f"write {_counted(head.classes, 'weight')}, in the order of the classes",
            also=(section.where("head", "classes"), "the classes"),
        )


def _counted(number: int, noun: str) -> str:
    many = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else many}"


def head_of(section: Section) -> Head | None:
    """Return the new head with its labels, if any; report what it cannot be."""
    spec = section.fields.head
    if spec is None:
        return None
    _check_layer(section, spec.replace)
    labels = spec.labels
    if not _check_classes(section, spec.classes):
        return Head(spec.replace, spec.classes, labels or (), spec.init)
    if labels is None:
        named = tuple(f"class-{number}" for number in range(spec.classes))
        return Head(spec.replace, spec.classes, named, spec.init)
    _check_labels(section, labels)
    if len(labels) != spec.classes and not section.is_lost("head", "labels"):
        section.add(
            Code.CONFLICT,
            ("head", "labels"),
            f"{_counted(spec.classes, 'class')} and {_counted(len(labels), 'label')} for them",
            hint=f"write {_counted(spec.classes, 'label')}, or leave `labels` out",
            also=(section.where("head", "classes"), "the classes"),
        )
    return Head(spec.replace, spec.classes, labels, spec.init)


def _check_layer(section: Section, name: str) -> None:
    if not name.strip() or any(character in name for character in WILDCARDS):
        section.add(
            Code.BAD_VALUE,
            ("head", "replace"),
            f"'{name}' is no name of a layer",
            hint="name one layer in full, such as classifier",
            notes=("one linear layer gives way to the new one; patterns are for `requires_grad`",),
        )
        return
    for index, pattern in enumerate(section.fields.frozen or ()):
        if pattern.strip() and fnmatchcase(f"{name}.weight", pattern):
            section.add(
                Code.CONFLICT,
                ("frozen", index),
                f"'{pattern}' would freeze the new head, '{name}'",
                hint="write patterns that leave it out",
                notes=("its weights are random at first, and have to learn",),
            )


def _check_classes(section: Section, classes: int) -> bool:
    """Return whether there are as many classes as the loss needs, and no absurd number."""
    loss = section.fields.loss
    method = loss.method if loss is not None else CROSS_ENTROPY
    if classes == 1 and method == CROSS_ENTROPY and not section.is_lost("loss"):
        section.add(
            Code.CONFLICT,
            ("head", "classes"),
            "cross-entropy needs 2 classes or more, and the head has 1",
            hint="write `classes: 2`, or `loss: {method: bce-with-logits}` for a yes or no",
            notes=("the probabilities of classes add up to 1, so a single one's is always 1",),
        )
        return False
    return check_number(section, ("head", "classes"), classes, COUNT)


def _check_labels(section: Section, labels: tuple[str, ...]) -> None:
    for index, label in enumerate(labels):
        path = ("head", "labels", index)
        if label in labels[:index]:
            message = f"the label '{label}' is named twice"
            notes = ("examples lie in folders of these names, and two would have one",)
            section.add(Code.CONFLICT, path, message, hint="rename one of the two", notes=notes)
        elif not _is_folder(label):
            section.add(
                Code.BAD_VALUE,
                path,
                f"'{label}' cannot be a label",
                hint="write a name that a folder can have, without slashes or spaces around it",
                notes=("examples of a class lie in a folder of its name",),
            )


def _is_folder(label: str) -> bool:
    plain = label.isprintable() and label == label.strip() and not label.startswith(".")
    return bool(label) and plain and not any(character in label for character in '/\\:*?"<>|')


def lora_of(section: Section) -> Lora | None:
    """Return the adapters, if any; report what they cannot be."""
    spec = section.fields.lora
    if spec is None:
        return None
    modules = check_patterns(section, spec.modules, "lora", "modules")
    if not modules and not section.is_lost("lora", "modules"):
        message, hint = "`lora` names no modules", "name linear layers, such as '*.query'"
        section.add(Code.BAD_VALUE, ("lora", "modules"), message, hint=hint)
    check_number(section, ("lora", "rank"), spec.rank, COUNT)
    check_number(section, ("lora", "alpha"), spec.alpha, ABOVE_ZERO)
    return Lora(modules, spec.rank, spec.alpha)


def rename_of(section: Section, loss: Loss) -> tuple[tuple[str, str], ...]:
    """Return the new names of inputs and outputs by their own, sorted; report those that clash."""
    renamed = section.fields.rename or {}
    taken: dict[str, str] = {}
    for name, new in renamed.items():
        path = ("rename", name)
        if not re.fullmatch(GRAPH_NAME, new):
            message, hint = f"'{new}' is no name of an input or output", "use letters, digits and _"
            notes = ("applications name it in their code: a letter at first, or _ and then one",)
            section.add(Code.BAD_VALUE, path, message, hint=hint, notes=notes)
        elif new in taken:
            message = f"'{taken[new]}' and '{name}' would both be called '{new}'"
            other = (section.where("rename", taken[new]), "the other")
            hint = "give each a name of its own"
            section.add(Code.CONFLICT, path, message, hint=hint, also=other)
        elif why := _kept(section, new, loss):
            message, hint = f"the name '{new}' is taken in training graphs", "give it another name"
            section.add(Code.CONFLICT, path, message, hint=hint, notes=(why,))
        else:
            taken[new] = name
    return tuple(sorted(renamed.items()))


def _kept(section: Section, new: str, loss: Loss) -> str:
    """Return why the training graph needs a name itself, empty where it does not."""
    given = CLASS_INPUT if loss.name in CLASS_LOSSES else NUMBER_INPUT
    if new == LOSS_VALUE:
        return "the training graph's first output is the loss, under that name"
    if new.endswith(GRADIENT_ENDING):
        return f"gradients have names that end in {GRADIENT_ENDING}"
    if new == given and not section.is_lost("loss"):
        return f"{loss.name} is given what is right by an input of that name"
    if new in (CLASS_INPUT, NUMBER_INPUT):
        return f"losses are given classes as {CLASS_INPUT} and numbers as {NUMBER_INPUT}"
    return ""


def check_something_learns(section: Section) -> None:
    """Report a `train` in which nothing learns, and exceptions to nothing."""
    fields = section.fields
    whole = ("requires_grad", "head", "lora")
    if not any((fields.requires_grad, fields.head, fields.lora)) and not any(
        section.is_lost(name) for name in whole
    ):
        section.add(
            Code.MISSING_FIELD,
            ("requires_grad",),
            "`train` names nothing that learns",
            hint="add `requires_grad`, `head` or `lora`",
            notes=("all parameters would stay frozen, and every step would change nothing",),
        )
    _check_frozen(section)


def _check_frozen(section: Section) -> None:
    fields = section.fields
    learning, frozen = fields.requires_grad or (), fields.frozen or ()
    # A target may switch off what the recipe says for all; then nothing is meant by it there.
    switched_off = section.is_targets("requires_grad") and not section.is_targets("frozen")
    if frozen and not learning and not switched_off and not section.is_lost("requires_grad"):
        section.add(
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
            section.add(Code.CONFLICT, ("frozen", index), message, hint=hint)
