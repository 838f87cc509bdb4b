"""What a training bundle's README says round its code: what goes in, what comes out, what else."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from olive_build.record.manifest import NOMINAL_CHECKPOINT, ONNX, ORT, TRAINING_GRAPHS, Training
from olive_build.training.settings import RUNTIME_RATE

# So many classes are named one by one.
MOST_NAMED = 6


def preparing(training: Training) -> str:
    """Return how an application makes the inputs of what a user gives it."""
    data: Mapping[str, Any] = training.data
    names = " and ".join(f"`{item.name}`" for item in training.inputs)
    match data["kind"]:
        case "audio":
            length = data["samples"]
            size = f"{length} samples" if length else "clips of one length"
            normal = (
                " Of each clip its mean is taken away, and what is left divided by its standard "
                "deviation."
                if data["normalize"]
                else ""
            )
            return (
                f"{names} takes {size}, one channel at {data['sampling_rate']} Hz, as numbers from "
                f"-1 to 1; repeat a clip that is too short, and cut one that is too long.{normal}"
            )
        case "images":
            return (
                f"{names} takes images of {data['width']} x {data['height']} pixels as [channels, "
                f"height, width]: each byte times {data['rescale']:.6g}, less "
                f"{_numbers(data['mean'])}, over {_numbers(data['std'])}."
            )
        case "texts":
            fixed = (
                f"filled up to {data['longest']}" if data["fixed"] else "filled up to the longest"
            )
            return (
                f"{names} take the tokens of `{data['tokenizer']}`, at most {data['longest']} a "
                f"text, {fixed} of a batch with {data['pad']}, where the mask is 0."
            )
        case _:
            return f"{names} take what the model was trained with."


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def labels_are(training: Training) -> str:
    """Return what the target of an example is, and how many a batch must have."""
    fixed = training.fixed_batch
    size = f" A batch has exactly {fixed}." if fixed else ""
    if not training.has_classes:
        numbers = prod(axis for axis in training.goal.axes[1:] if isinstance(axis, int))
        return f"`{training.goal.name}` has {numbers} for each example.{size}"
    labels = training.labels
    if len(labels) <= MOST_NAMED:
        told = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
    else:
        told = f"0 {labels[0]} to {len(labels) - 1} {labels[-1]}"
    return f"Labels: {told}.{size}"


def output_is(training: Training) -> str:
    """Return what the output of an example is."""
    if not training.has_classes:
        return f"numbers as `{training.goal.name}` has them"
    labels = training.labels
    named = f" for {', '.join(labels)}" if len(labels) <= MOST_NAMED else ""
    return f"{len(labels)} logits each{named}"


def rate_note(training: Training) -> str:
    """Return what a page must know of the learning rate, empty where it is the runtime's own."""
    if training.optimizer.lr == RUNTIME_RATE:
        return ""
    return (
        f"\n\nNor can it set the learning rate, which stays at {RUNTIME_RATE:g}: this bundle's "
        f"optimizer model multiplies it, so that a page steps with {training.optimizer.lr:g}, as "
        "the recipe says."
    )


def notes(training: Training, language: str) -> list[str]:
    """Return paragraphs on the ORT form, the nominal checkpoint, and trying it on a desktop."""
    found = []
    if training.margin is not None:
        other, owner = training.labels
        found.append(
            f"Which it is: {owner} where its logit is above that of {other} by more than "
            f"{training.margin:g}. The larger logit alone does not say it after so few steps; more "
            "examples or more epochs want another margin."
        )
    if training.form == ORT:
        found.append(
            "These graphs are of the ORT form alone, from which the runtime exports no model for "
            "inference, so `export` above fails, and `olive-build train` refuses the bundle: build "
            "it with `formats: [onnx, ort]` for both."
        )
    elif f"{TRAINING_GRAPHS[0]}_ort" in training.files:
        found.append(
            "The `.ort` graphs take the place of the `.onnx` ones in a reduced build of the "
            "runtime (`required_operators.config`). Exporting needs `eval_model.onnx` all the same."
        )
    if NOMINAL_CHECKPOINT in training.files:
        native = (
            " Java's API takes no such buffer: that is done by the runtime's C++ API, with "
            "`TrainingSession::FromBuffer`."
        )
        found.append(
            "`nominal_checkpoint` has the names of the parameters and not their values. It is for "
            "an update: ship it, load the values that a server sends as one buffer (all "
            "parameters, in the checkpoint's order), and train from there."
            + (native if language == "kotlin" else "")
        )
    if training.form == ONNX:
        kept = "a folder of examples for each class" if training.has_classes else "a `labels.csv`"
        found.append(
            "Before there is an app, `olive-build train <this folder> --data <folder>` does the "
            f"same on a desktop, with {kept}."
        )
    return found
