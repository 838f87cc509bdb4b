"""The inputs of a graph as lines of an application's code, from the manifest's names and types.

Every language writes an input in its own way; the names and types are those of the file, and the
values are what an application starts with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from olive_build.errors import BundleError

# The inputs that carry audio: numbers at the model's sampling rate, or the bytes of a file.
SAMPLES, FILE_BYTES = "audio_pcm", "audio_stream"
VARIABLES = {SAMPLES: "samples", FILE_BYTES: "file"}
# What an application starts with. `max_length` is the model's own and comes with the call.
VALUES: dict[str, float] = {
    "min_length": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
}


@dataclass(frozen=True)
class Language:
    """How a language gives a graph its inputs.

    `given` and `audio` map a type of the manifest to where audio comes from and to its value
    [1, length]; `number` to one number [1]; `array` to the language's own name for such numbers;
    `imports` to what this audio needs beside the rest. `entry` joins an input's name and its value;
    `float` says how a number with a fraction is written.
    """

    given: Mapping[str, str]
    audio: Mapping[str, str]
    number: Mapping[str, str]
    entry: str
    indent: int
    float: str = "{}"
    array: Mapping[str, str] = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict)


LANGUAGES: Mapping[str, Language] = {
    "python": Language(
        given={
            "float": "np.zeros({sampling_rate}, np.float32)  # yours",
            "uint8": 'np.fromfile("clip.wav", np.uint8)',
        },
        audio={"float": "samples[np.newaxis]", "uint8": "file[np.newaxis]"},
        number={"int32": "np.array([{}], np.int32)", "float": "np.array([{}], np.float32)"},
        entry='"{name}": {value},',
        indent=4,
    ),
    "kotlin": Language(
        given={"float": "samples: FloatArray", "uint8": "file: ByteArray"},
        audio={
            "float": "OnnxTensor.createTensor(environment, FloatBuffer.wrap(samples), shape)",
            "uint8": "OnnxTensor"
            ".createTensor(environment, ByteBuffer.wrap(file), shape, OnnxJavaType.UINT8)",
        },
        number={"int32": "int32({})", "float": "float32({})"},
        entry='"{name}" to {value},',
        indent=12,
        float="{}f",
        imports={"uint8": "import ai.onnxruntime.OnnxJavaType\nimport java.nio.ByteBuffer"},
    ),
    "swift": Language(
        given={"float": "_ samples: [Float]", "uint8": "_ file: [UInt8]"},
        audio={
            "float": "tensor(samples, .float, [1, samples.count])",
            "uint8": "tensor(file, .uInt8, [1, file.count])",
        },
        number={
            "int32": "tensor([Int32({})], .int32, [1])",
            "float": "tensor([Float({})], .float, [1])",
        },
        entry='"{name}": {value},',
        indent=12,
    ),
    "javascript": Language(
        given={"float": "samples", "uint8": "file"},
        audio={
            "float": "new Tensor('float32', samples, [1, samples.length])",
            "uint8": "new Tensor('uint8', file, [1, file.length])",
        },
        number={
            "int32": "new Tensor('int32', Int32Array.from([{}]), [1])",
            "float": "new Tensor('float32', Float32Array.from([{}]), [1])",
        },
        entry="{name}: {value},",
        indent=4,
        array={"float": "Float32Array", "uint8": "Uint8Array"},
    ),
    "csharp": Language(
        given={"float": "float[] samples", "uint8": "byte[] file"},
        audio={
            "float": "new DenseTensor<float>(samples, new[] {{ 1, samples.Length }})",
            "uint8": "new DenseTensor<byte>(file, new[] {{ 1, file.Length }})",
        },
        number={
            "int32": "new DenseTensor<int>(new[] {{ {} }}, new[] {{ 1 }})",
            "float": "new DenseTensor<float>(new[] {{ {} }}, new[] {{ 1 }})",
        },
        entry='NamedOnnxValue.CreateFromTensor("{name}", {value}),',
        indent=12,
        float="{}f",
    ),
}


def feeds(
    code: str, inputs: Sequence[Mapping[str, Any]], known: Mapping[str, str]
) -> dict[str, str]:
    """Return what a template of a language names of a graph's inputs.

    `audio` is the value of the audio, which must be the first of `inputs`; `name`, `given` and
    `array` are its variable, where that comes from and its kind; `imports` are lines that only
    this audio needs; `feeds` is a line for each other input, in their order. `known` is what the
    model's facts say: the most tokens of a text and the sampling rate. A language that is not in
    LANGUAGES has none of these.
    Raises BundleError for an input whose value or type no application could know from here.
    """
    if code not in LANGUAGES or inputs[0]["name"] not in VARIABLES:
        return {}
    language, first = LANGUAGES[code], inputs[0]
    values = VALUES | {"max_length": int(known["longest_text"])}
    lines = [
        " " * language.indent
        + language.entry.format(name=item["name"], value=_number(language, item, values))
        for item in inputs[1:]
    ]
    return {
        "name": VARIABLES[first["name"]],
        "given": _of_type(language.given, first).format(**known),
        "array": language.array.get(first["type"], ""),
        "imports": language.imports.get(first["type"], ""),
        "audio": _of_type(language.audio, first).format(),
        "feeds": "\n".join(lines).lstrip(),
    }


def _number(language: Language, item: Mapping[str, Any], values: Mapping[str, float]) -> str:
    if item["name"] not in values or item["axes"] != [1]:
        raise _unknown(item, f"its axes are {item['axes']}, and no value is known for it")
    form, value = _of_type(language.number, item), values[item["name"]]
    if item["type"] == "float":
        return form.format(language.float.format(float(value)))
    return form.format(int(value))


def _of_type(forms: Mapping[str, str], item: Mapping[str, Any]) -> str:
    if item["type"] not in forms:
        raise _unknown(item, f"it is {item['type']}, and the code knows {', '.join(forms)}")
    return forms[item["type"]]


def _unknown(item: Mapping[str, Any], why: str) -> BundleError:
    return BundleError(
        f"the README's code cannot give the input '{item['name']}'",
        why=why,
        hint="add it to olive_build/bundle/feeds.py",
    )
