"""The code of a bundle's README: templates of a language, filled from the manifest.

What a model is asked, the templates of its family know; how a language asks for a provider and
writes a graph's inputs, `targets/languages/`. The calls of code that trains are those of
onnxruntime 1.19.2, as microsoft/onnxruntime has them: Java in
java/src/main/java/ai/onnxruntime/OrtTrainingSession.java (used in its TrainingTest.java),
Objective-C in objectivec/include/ort_training_session.h and ort_checkpoint.h, C# in
csharp/src/Microsoft.ML.OnnxRuntime/Training/{TrainingSession,CheckpointState}.shared.cs, JavaScript
in js/common/lib/training-session.ts, Python in orttraining/orttraining/python/training/api/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import PurePosixPath
from string import Template
from typing import Any

from olive_build import rooms
from olive_build.errors import BundleError
from olive_build.families.facts import Facts
from olive_build.record.manifest import (
    NOMINAL_CHECKPOINT,
    ONNX,
    ORT,
    TRAINING_GRAPHS,
    Manifest,
    Training,
    Value,
)
from olive_build.targets import (
    Batches,
    Inputs,
    Language,
    Provider,
    asking,
    load_language,
    load_provider,
    load_target,
)
from olive_build.training.settings import RUNTIME_RATE

TRAINING_ROOM = "bundle.templates"
# The provider that every package has: what comes after the bundle's own code runs on it.
EVERYWHERE = "cpu"
# The inputs that carry audio, and what an application calls that.
AUDIO = {"audio_pcm": "samples", "audio_stream": "file"}
# What an application starts with. `max_length` is the model's own.
VALUES: dict[str, float] = {
    "min_length": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
}
COUNT = "count"
# Of the code, what is the bundle's: it holds no name of the template's own.
PLACEHOLDER = re.compile(r"\$\{?\w+\}?")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDED = "values"
# So many classes are named one by one.
MOST_NAMED = 6


def code_sections(manifest: Manifest, facts: Facts) -> str:
    """Return the code that loads a bundle, and what else there is to say of it.

    The first variant is the one that the code runs; of a bundle that trains it is the training.
    `facts` are the model's, which such a bundle does not need.
    Raises BundleError for an input that no code of ours can give and for a template that is not
    there, PlanError where nothing says how the code asks for the provider.
    """
    provider = load_provider(manifest.provider)
    sections = (
        _training(manifest, manifest.training, provider)
        if manifest.training
        else _inference(manifest, facts, provider)
    )
    return "\n\n".join(sections)


def _inference(manifest: Manifest, facts: Facts, provider: Provider) -> list[str]:
    room = f"families.{manifest.model.family.replace('-', '_')}.templates"
    name, variant = manifest.first
    inputs, output = variant.inputs, variant.outputs[-1]
    takes = {item.name: item.axes for item in inputs}
    known = facts.placeholders(takes, manifest.model.options)
    names = {
        "recipe": manifest.recipe,
        "variant": name,
        "file": variant.loaded,
        "input": inputs[0].name,
        "output": output.name,
        "dimensions": output.axes[-1],
        "length": inputs[0].axes[-1],
        **known,
    }
    sections = []
    for title, paths in facts.templates(load_target(manifest.target).language, takes).items():
        sections += [f"### {title}"] if title else []
        for path in paths:
            text, language = _template(room, path)
            given = _given(language, inputs, known) if language else {}
            sections += _filled(path, text, language, provider, names | given)
        sections += [known["limits"]] if not title and known.get("limits") else []
        provider = load_provider(EVERYWHERE)
    if not sections:
        raise BundleError(
            f"the family {manifest.model.family} brings no code that loads a bundle",
            hint="name templates in `templates` of its facts",
        )
    return sections


def _training(manifest: Manifest, training: Training, provider: Provider) -> list[str]:
    path = f"training.{load_target(manifest.target).training_language}"
    text, language = _template(TRAINING_ROOM, path)
    assert language
    names = _of_training(training, manifest, language, text)
    code = _filled(path, text, language, provider, names)
    return [preparing(training), *code, *notes(training, language.name)]


def _template(room: str, path: str) -> tuple[str, Language | None]:
    """Return a template ("text.kotlin") of a room, and its language where it has one."""
    language = path.partition(".")[2]
    found = next(rooms.files(room, f"{path}.md"), None)
    if found is None:
        raise BundleError(
            f"there is no template {path}.md for the README's code",
            why="the model's family has no code for this kind of file in the target's language",
            hint=f"add olive_build/{room.replace('.', '/')}/{path}.md",
        )
    return found.read_text(encoding="utf-8"), load_language(language) if language else None


def _filled(
    path: str,
    text: str,
    language: Language | None,
    provider: Provider,
    names: Mapping[str, Any],
) -> list[str]:
    """Return a template with its places filled, and what is to be said below it."""
    if language is None:
        return [fill(text, names)]
    asked = asking(language, provider)
    places = {
        "provider": asked.code,
        "provider_imports": asked.imports,
        "provider_argument": asked.argument,
    }
    # The CPU is there by itself.
    there = {*Template(text).get_identifiers(), *(places if provider.name == EVERYWHERE else ())}
    if lacking := [place for place, value in places.items() if value and place not in there]:
        raise BundleError(
            f"the README's code would not ask for {provider.title}",
            why=f"its template {path}.md has no ${lacking[0]}",
            hint="add it where the template makes the session",
        )
    return [fill(text, {**names, **places}), *([asked.note] if asked.note else [])]


def fill(text: str, names: Mapping[str, Any]) -> str:
    """Return a template with its places filled.

    The lines of what has a line to itself are indented as that is; nothing leaves no line.
    """
    lines = []
    for line in text.split("\n"):
        alone = re.fullmatch(r"( *)\$(\w+)", line)
        if alone is None:
            lines.append(Template(line).substitute(names))
        elif names[alone[2]] != "":
            lines += [alone[1] + each for each in str(names[alone[2]]).split("\n")]
    return "\n".join(lines).strip()


def _given(language: Language, inputs: Sequence[Value], known: Mapping[str, str]) -> dict[str, str]:
    """Return what a template names of the inputs of a graph that takes audio.

    `audio` is the value of the audio, which must be the first of `inputs`; `name`, `given` and
    `array` are its variable, how a function declares it and its kind; `imports` are lines that only
    this audio needs; `feeds` is a line for each other input, in their order. `known` is what the
    model's facts say: the most tokens of a text. A language without inputs has none of these.
    Raises BundleError for an input whose value or type no application could know from here.
    """
    forms, first = language.inputs, inputs[0]
    if forms is None or first.name not in AUDIO:
        return {}
    values = VALUES | {"max_length": int(known["longest_text"])}
    name, kind = AUDIO[first.name], _of_type(forms.types, first.name, first.type)
    return {
        "name": name,
        "given": language.parameter.format(name=name, type=kind),
        "array": kind,
        "imports": forms.imports.get(first.type, ""),
        "audio": forms.array[first.type].format(name=name),
        "feeds": "\n".join(_entry(forms, item, values) for item in inputs[1:]),
    }


def _entry(forms: Inputs, item: Value, values: Mapping[str, float]) -> str:
    name, kind = item.name, item.type
    if name not in values or item.axes != (1,):
        raise _unknown(name, f"its axes are {list(item.axes)}, and no value is known for it")
    number = _of_type(forms.number, name, kind)
    value = float(values[name]) if kind == "float" else int(values[name])
    return forms.entry.format(input=name, value=number.format(value=value))


def _of_type(forms: Mapping[str, str], name: str, kind: str) -> str:
    if kind not in forms:
        raise _unknown(name, f"it is {kind}, and the code knows {', '.join(forms)}")
    return forms[kind]


def _unknown(name: str, why: str, hint: str = "") -> BundleError:
    return BundleError(
        f"the README's code cannot give the input '{name}'",
        why=why,
        hint=hint or "add it to olive_build/targets/languages/ or olive_build/bundle/app_code.py",
    )


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
                name=self.variable(item), type=_of_type(self.forms.types, item.name, item.type)
            )
            for item in self.inputs
        )

    def feeds(self) -> str:
        """Return a line for each input; Python's code has them as arguments."""
        lines = [
            _of_type(self.forms.tensor, item.name, item.type).format(
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
            raise _unknown(
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
        raise _unknown(inputs[0].name, f"{language.title} has no `batches` in its file")
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
