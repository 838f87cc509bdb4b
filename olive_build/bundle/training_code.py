"""Code that trains with a bundle: templates in the target's language, filled from the manifest.

The calls are those of onnxruntime 1.19.2, as microsoft/onnxruntime has them: Java in
java/src/main/java/ai/onnxruntime/OrtTrainingSession.java (used in its TrainingTest.java),
Objective-C in objectivec/include/ort_training_session.h and ort_checkpoint.h, C# in
csharp/src/Microsoft.ML.OnnxRuntime/Training/{TrainingSession,CheckpointState}.shared.cs, JavaScript
in js/common/lib/training-session.ts, Python in orttraining/orttraining/python/training/api/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import prod
from pathlib import PurePosixPath
from string import Template
from typing import Any

from olive_build.bundle.training_manifest import GraphInput, TrainingManifest, read_training
from olive_build.bundle.training_names import variables
from olive_build.bundle.training_notes import labels_are, notes, output_is, preparing, rate_note
from olive_build.errors import BundleError
from olive_build.targets import load_target

FLOAT, LONG = "float32", "int64"
COUNT = "count"


@dataclass(frozen=True)
class Variables:
    """What the code calls inputs by the graph's names, and numbers by those of free axes."""

    ends: Mapping[str, str]
    axes: Mapping[str, str]

    def all(self) -> list[str]:
        return [COUNT, *self.ends.values(), *self.axes.values()]


@dataclass(frozen=True)
class Language:
    """How a language writes the inputs of a step.

    `types` are arrays by the graph's types; `parameter` declares one, `tensor` makes a graph's
    input of it with its `shape`; `size` is an array's length, `local` a number with a name.
    `field` is how an object has an array. `indent` is that of a statement and of an entry.
    """

    types: Mapping[str, str]
    parameter: str
    field: str
    separator: str
    tensor: str
    size: str
    local: str
    indent: tuple[int, int]
    of_batch: str = "batch.{name}"
    elements: Mapping[str, str] | None = None


LANGUAGES: Mapping[str, Language] = {
    "kotlin": Language(
        types={FLOAT: "FloatArray", LONG: "LongArray"},
        parameter="{name}: {type}",
        field="val {name}: {type}",
        separator=", ",
        tensor='"{input}" to tensor({name}, {shape}),',
        size="{name}.size.toLong()",
        local="val {name} = {value}",
        indent=(8, 12),
    ),
    "swift": Language(
        types={FLOAT: "[Float]", LONG: "[Int64]"},
        parameter="_ {name}: {type}",
        field="let {name}: {type}",
        separator="\n    ",
        tensor="try tensor({name}, .{element}, [{shape}]),",
        size="{name}.count",
        local="let {name} = {value}",
        indent=(8, 12),
        elements={FLOAT: "float", LONG: "int64"},
    ),
    "csharp": Language(
        types={FLOAT: "float[]", LONG: "long[]"},
        parameter="{type} {name}",
        field="{type} {name}",
        separator=", ",
        tensor="Tensor({name}, TensorElementType.{element}, {shape}),",
        size="{name}.Length",
        local="var {name} = {value};",
        indent=(8, 12),
        elements={FLOAT: "Float", LONG: "Int64"},
    ),
    "javascript": Language(
        types={FLOAT: "Float32Array", LONG: "BigInt64Array"},
        parameter="{name}",
        field="{name}",
        separator=", ",
        tensor="'{input}': new ort.Tensor('{type_name}', {name}, [{shape}]),",
        size="{name}.length",
        local="const {name} = {value};",
        indent=(2, 4),
    ),
    "python": Language(
        types={FLOAT: "np.float32", LONG: "np.int64"},
        parameter="{name}",
        field="{name}",
        separator=", ",
        tensor="{name},",
        size="len({name})",
        local="{name} = {value}",
        indent=(8, 8),
        of_batch="{name}[rows]",
    ),
}


def training_sections(manifest: Mapping[str, Any]) -> str:
    """Return the code that trains with the bundle, and what else there is to say of it.

    Raises BundleError for a manifest that is damaged, or an input that no code of ours can give.
    """
    training = read_training(manifest)
    language = load_target(training.target).language
    path = files("olive_build.bundle").joinpath("templates", "training", f"{language}.md")
    text = path.read_text(encoding="utf-8")
    given = _placeholders(training, manifest, language, _variables(training, language, text))
    filled = Template(text).substitute(given).strip()
    # A line that held nothing but what this bundle does not need.
    code = "\n".join(line for line in filled.split("\n") if line.strip() != "-")
    return "\n\n".join([preparing(training), code, *notes(training, language)])


def _variables(training: TrainingManifest, language: str, template: str) -> Variables:
    ends = [*training.inputs, training.goal]
    free = [axis for item in ends for axis in item.axes[1:] if isinstance(axis, str)]
    named = variables([item.name for item in ends], language, template, [COUNT])
    others = [COUNT, *named.values()]
    return Variables(named, variables(free, language, template, others))


def _placeholders(
    training: TrainingManifest, manifest: Mapping[str, Any], name: str, known: Variables
) -> dict[str, Any]:
    language, names = LANGUAGES[name], known.ends
    ends = [*training.inputs, training.goal]
    declared = _joined(language, ends, names, language.parameter, ", ")
    graphs = {role: PurePosixPath(path).name for role, path in training.graphs.items()}
    return {
        **graphs,
        "checkpoint": PurePosixPath(training.files["checkpoint"]).name,
        "folder": PurePosixPath(training.files["checkpoint"]).parent,
        "inference": training.files["inference"],
        "rate": f"{training.learning_rate:g}",
        "rate_note": rate_note(training),
        "epochs": training.epochs,
        "batch": training.first_batch,
        "what": labels_are(training),
        "shapes": ", ".join(f"{names[i.name]} {i.type} [{_axes(i)}]" for i in ends),
        "parameters": declared,
        "arguments": ", ".join(names.values()),
        "fields": _joined(language, ends, names, language.field, language.separator),
        "of_batch": _joined(language, ends, names, language.of_batch, ", "),
        "of_rows": _joined(language, ends, names, "{name}[rows]", ", "),
        "goal": names[training.goal.name],
        "sizes": _sizes(training, known, language),
        "feeds": _feeds(ends, known, language, name),
        "output": training.loss_output,
        "output_is": output_is(training),
        "output_place": 1 + training.outputs.index(training.loss_output),
        "outputs": ", ".join(f'"{output}"' for output in training.outputs),
        "trainable_values": f"{sum(prod(shape) for shape in training.trainable.values()):,}",
        **(_output_buffers(training, manifest, language, known) if name == "csharp" else {}),
    }


def _joined(
    language: Language, ends: Sequence[GraphInput], names: Mapping[str, str], form: str, by: str
) -> str:
    return by.join(form.format(name=names[i.name], type=_of_type(language, i)) for i in ends)


def _of_type(language: Language, item: GraphInput) -> str:
    if item.type not in language.types:
        raise BundleError(
            f"the README's code cannot give the input '{item.name}'",
            why=f"it is {item.type}, and the code knows {', '.join(language.types)}",
            hint="add the type to olive_build/bundle/training_code.py",
        )
    return language.types[item.type]


def _feeds(ends: Sequence[GraphInput], known: Variables, language: Language, code: str) -> str:
    lines = [
        language.tensor.format(
            input=item.name,
            name=known.ends[item.name],
            type_name=item.type,
            element=(language.elements or {}).get(item.type, ""),
            shape=_shape(item, known),
        )
        for item in ends
    ]
    if code == "python":
        return " ".join(lines).removesuffix(",")
    # The other languages allow a comma after the last.
    return ("\n" + " " * language.indent[1]).join(lines)


def _sizes(training: TrainingManifest, known: Variables, language: Language) -> str:
    """Return lines that compute what is free from how long the arrays are."""
    goal = training.goal
    lines = []
    if isinstance(goal.axes[0], str):
        size = language.size.format(name=known.ends[goal.name])
        rest = prod(axis for axis in goal.axes[1:] if isinstance(axis, int))
        value = size if rest == 1 else f"{size} / {rest}"
        lines.append(language.local.format(name=COUNT, value=value))
    computed: set[str] = set()
    for item in training.inputs:
        for axis in item.axes[1:]:
            if isinstance(axis, str) and axis not in computed:
                computed.add(axis)
                lines.append(_free(item, axis, known, language))
    # A placeholder with nothing in it leaves a line that `training_sections` takes away.
    return ("\n" + " " * language.indent[0]).join(lines) or "-"


def _free(item: GraphInput, axis: str, known: Variables, language: Language) -> str:
    others = [other for other in item.axes[1:] if other != axis]
    if any(isinstance(other, str) for other in others):
        raise BundleError(
            f"the README's code cannot give the input '{item.name}'",
            why=f"of its axes [{_axes(item)}] more than one is free beside the batch",
            hint="fix the others with `export.shapes` in the recipe",
        )
    first = item.axes[0] if isinstance(item.axes[0], int) else COUNT
    divisors = [first, *(other for other in others if other != 1)]
    size = language.size.format(name=known.ends[item.name])
    value = " / ".join([size, *map(str, divisors)])
    return language.local.format(name=known.axes[axis], value=value)


def _shape(item: GraphInput, known: Variables) -> str:
    first, *rest = item.axes
    named = [str(axis) if isinstance(axis, int) else known.axes[axis] for axis in rest]
    return ", ".join([str(first) if isinstance(first, int) else COUNT, *named])


def _axes(item: GraphInput) -> str:
    return ", ".join(map(str, item.axes))


def _output_buffers(
    training: TrainingManifest,
    manifest: Mapping[str, Any],
    language: Language,
    known: Variables,
) -> dict[str, str]:
    """Return what C# needs of the outputs, whose arrays its caller makes."""
    described = {
        str(item["name"]): GraphInput.read(item)
        for item in next(iter(manifest["variants"].values()))["outputs"]
    }
    named = variables([f"{output}_values" for output in described], "csharp", "", known.all())
    arrays, feeds = [], []
    for output in training.outputs:
        name, shape = named[f"{output}_values"], _shape(described[output], known)
        arrays.append(f"var {name} = new float[{shape.replace(', ', ' * ')}];")
        feeds.append(f"Tensor({name}, TensorElementType.Float, {shape}),")
    inner, outer = " " * language.indent[1], " " * language.indent[0]
    return {
        "output_arrays": f"\n{outer}".join(arrays),
        "output_feeds": f"\n{inner}".join(feeds),
        "output_variable": named[f"{training.loss_output}_values"],
    }
