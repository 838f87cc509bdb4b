"""The code of a bundle that trains: templates of a language, filled from the manifest.

The calls are those of onnxruntime 1.19.2, as microsoft/onnxruntime has them: Java in
java/src/main/java/ai/onnxruntime/OrtTrainingSession.java (used in its TrainingTest.java),
Objective-C in objectivec/include/ort_training_session.h and ort_checkpoint.h, C# in
csharp/src/Microsoft.ML.OnnxRuntime/Training/{TrainingSession,CheckpointState}.shared.cs, JavaScript
in js/common/lib/training-session.ts, Python in orttraining/orttraining/python/training/api/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import PurePosixPath
from typing import Any

from olive_build.bundle.app_code import filled, of_type, template, unknown
from olive_build.record.manifest import (
    NOMINAL_CHECKPOINT,
    ONNX,
    ORT,
    TRAINING_GRAPHS,
    Manifest,
    Training,
    Value,
)
from olive_build.targets import Batches, Language, load_provider, load_target
from olive_build.training.settings import RUNTIME_RATE

ROOM = "training.templates"
COUNT = "count"
# Of the code, what is the bundle's: it holds no name of the template's own.
PLACEHOLDER = re.compile(r"\$\{?\w+\}?")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDED = "values"
# So many classes are named one by one.
MOST_NAMED = 6


def training_code(manifest: Manifest, training: Training) -> list[str]:
    """Return the sections of code that trains, and what else there is to say of it."""
    path = f"training.{load_target(manifest.target).training_language}"
    text, language = template(ROOM, path)
    assert language
    names = _of_training(training, manifest, language, text)
    code = filled(path, text, language, load_provider(manifest.provider), names)
    return [preparing(training), *code, *notes(training, language.name)]


@dataclass(frozen=True)
class Step:
    """How a language writes the inputs of a training step.

    `ends` are variables by the graph's names of the inputs, the target being the last, and `axes`
    numbers by those of free axes.
    """

    language: Language
    forms: Batches
    inputs: tuple[Value, ...]
    ends: Mapping[str, str]
    axes: Mapping[str, str]

    def variable(self, item: Value) -> str:
        return self.ends[item.name]

    def joined(self, form: str, by: str = ", ") -> str:
        """Return what a form gives of each input's variable (`name`) and array (`type`)."""
        return by.join(
            form.format(
                name=self.variable(item), type=of_type(self.forms.types, item.name, item.type)
            )
            for item in self.inputs
        )

    def feeds(self) -> str:
        """Return a line for each input; Python's code has them as arguments."""
        lines = [
            of_type(self.forms.tensor, item.name, item.type).format(
                input=item.name, name=self.variable(item), shape=self.shape(item)
            )
            for item in self.inputs
        ]
        # The other languages allow a comma after the last.
        return " ".join(lines).removesuffix(",") if self.language.snake_case else "\n".join(lines)

    def sizes(self) -> str:
        """Return lines that compute what is free from how long the arrays are."""
        goal = self.inputs[-1]
        lines = []
        if isinstance(goal.axes[0], str):
            size = self.forms.size.format(name=self.variable(goal))
            rest = prod(axis for axis in goal.axes[1:] if isinstance(axis, int))
            value = size if rest == 1 else f"{size} / {rest}"
            lines.append(self.forms.local.format(name=COUNT, value=value))
        free = {axis: item for item in reversed(self.inputs) for axis in item.axes[1:]}
        return "\n".join([*lines, *(self._free(free[axis], axis) for axis in self.axes)])

    def _free(self, item: Value, axis: str) -> str:
        others = [other for other in item.axes[1:] if other != axis]
        if any(isinstance(other, str) for other in others):
            raise unknown(
                item.name,
                f"of its axes [{_axes(item)}] more than one is free beside the batch",
                "fix the others with `export.shapes` in the recipe",
            )
        first = item.axes[0] if isinstance(item.axes[0], int) else COUNT
        divisors = [first, *(other for other in others if other != 1)]
        size = self.forms.size.format(name=self.variable(item))
        value = " / ".join([size, *map(str, divisors)])
        return self.forms.local.format(name=self.axes[axis], value=value)

    def shape(self, item: Value) -> str:
        first, *rest = item.axes
        named = [str(axis) if isinstance(axis, int) else self.axes[axis] for axis in rest]
        return ", ".join([str(first) if isinstance(first, int) else COUNT, *named])

    def outputs(self, training: Training, manifest: Manifest) -> dict[str, str]:
        """Return what a language needs of the outputs whose arrays its caller makes, as C# does."""
        if not self.forms.output:
            return {}
        described = {item.name: item for item in manifest.first[1].outputs}
        taken = [COUNT, *self.ends.values(), *self.axes.values()]
        named = variables([f"{name}_{ADDED}" for name in described], self.language, "", taken)
        tensor, arrays, feeds = self.forms.tensor["float32"], [], []
        for output in training.outputs:
            name, shape = named[f"{output}_{ADDED}"], self.shape(described[output])
            arrays.append(self.forms.output.format(name=name, size=shape.replace(", ", " * ")))
            feeds.append(tensor.format(input=output, name=name, shape=shape))
        return {
            "output_arrays": "\n".join(arrays),
            "output_feeds": "\n".join(feeds),
            "output_variable": named[f"{training.loss_output}_{ADDED}"],
        }


def _of_training(
    training: Training, manifest: Manifest, language: Language, template: str
) -> dict[str, Any]:
    """Return what a template that trains names of a bundle."""
    inputs = (*training.inputs, training.goal)
    if language.batches is None:
        raise unknown(inputs[0].name, f"{language.title} has no `batches` in its file")
    free = [axis for item in inputs for axis in item.axes[1:] if isinstance(axis, str)]
    ends = variables([item.name for item in inputs], language, template, [COUNT])
    axes = variables(free, language, template, [COUNT, *ends.values()])
    step = Step(language, language.batches, inputs, ends, axes)
    return {
        **{role: PurePosixPath(path).name for role, path in training.graphs.items()},
        "checkpoint": PurePosixPath(training.checkpoint).name,
        "folder": PurePosixPath(training.checkpoint).parent,
        "inference": manifest.first[1].loaded,
        "rate": f"{training.optimizer.lr:g}",
        "rate_note": rate_note(training),
        "epochs": training.epochs,
        "batch": training.first_batch,
        "what": labels_are(training),
        "shapes": ", ".join(f"{ends[item.name]} {item.type} [{_axes(item)}]" for item in inputs),
        "parameters": step.joined(language.parameter),
        "arguments": ", ".join(ends.values()),
        "fields": step.joined(step.forms.field, step.forms.fields),
        "of_batch": step.joined(step.forms.example),
        "of_rows": step.joined("{name}[rows]"),
        "goal": ends[training.goal.name],
        "sizes": step.sizes(),
        "feeds": step.feeds(),
        "output": training.loss_output,
        "output_is": output_is(training),
        "output_place": 1 + training.outputs.index(training.loss_output),
        "outputs": ", ".join(f'"{output}"' for output in training.outputs),
        "trainable_values": f"{sum(prod(item.shape) for item in training.trainable):,}",
        **step.outputs(training, manifest),
    }


def _axes(item: Value) -> str:
    return ", ".join(map(str, item.axes))


def variables(
    names: Iterable[str], language: Language, template: str, others: Iterable[str] = ()
) -> dict[str, str]:
    """Return a variable for each name, all different, as the language writes them.

    A recipe names inputs as it likes, `batch` or `fun`: the graph's name stays in the code's
    strings. No variable is a word of the language, one of the `template`'s code, or of `others`.
    """
    taken = {*language.reserved, *others}
    for code in FENCE.findall(template):
        taken.update(re.findall(r"[A-Za-z_]\w*", PLACEHOLDER.sub(" ", code)))
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        words = [word for word in re.split(r"\W+|_+", name) if word]
        # A variable cannot begin with a digit.
        words = words if words and not words[0][0].isdigit() else [ADDED, *words]
        while (variable := _one_word(words, language)) in taken:
            words.append(ADDED)
        taken.add(variable)
        found[name] = variable
    return found


def _one_word(words: list[str], language: Language) -> str:
    if language.snake_case:
        return "_".join(words).lower()
    first, *rest = words
    return first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in rest)


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
