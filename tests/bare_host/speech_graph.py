"""A graph with the signature of a single-file Whisper, whose text tells what it was given.

It cannot be loaded without onnxruntime-extensions: the words are joined by its StringJoin.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

# What each kind of audio comes as.
INPUTS = {"audio_pcm": TensorProto.FLOAT, "audio_stream": TensorProto.UINT8}
WHOLE = ("min_length", "max_length", "num_beams", "num_return_sequences")
PARTS = ("length_penalty", "repetition_penalty")
# Penalties are told in hundredths, samples in the steps of 16 bits.
HUNDREDTHS, STEPS = 100.0, 32768.0


def speech_graph(path: Path, takes: str) -> Path:
    """Write the model; its text is the numbers of `told`, joined by spaces."""
    nodes = [
        helper.make_node("Shape", [takes], ["length"], start=1),
        helper.make_node("Cast", [takes], ["numbers"], to=TensorProto.FLOAT),
        *_scaled("numbers", "steps" if takes == "audio_pcm" else "one", "levels"),
        helper.make_node("ReduceSum", ["levels"], ["sum_2d"], keepdims=1),
        helper.make_node("Reshape", ["sum_2d", "one_axis"], ["sum"]),
    ]
    nodes += [
        helper.make_node("Cast", [name], [f"{name}_told"], to=TensorProto.INT64) for name in WHOLE
    ]
    for name in PARTS:
        nodes += _scaled(name, "hundredths", f"{name}_told")
    words = ["length", "sum", *(f"{name}_told" for name in (*WHOLE, *PARTS))]
    nodes += [
        helper.make_node("Concat", words, ["told"], axis=0),
        helper.make_node("Cast", ["told"], ["words"], to=TensorProto.STRING),
        helper.make_node(
            "StringJoin", ["words", "space", "first_axis"], ["line"], domain="ai.onnx.contrib"
        ),
        helper.make_node("Reshape", ["line", "one_axis"], ["text"]),
        helper.make_node("Concat", ["one_axis", "num_return_sequences_told"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["picked"], value=_zero()),
        helper.make_node("Gather", ["text", "picked"], ["str"]),
    ]
    value = helper.make_tensor_value_info
    inputs = [
        value(takes, INPUTS[takes], [1, "samples"]),
        *(value(name, TensorProto.INT32, [1]) for name in WHOLE),
        *(value(name, TensorProto.FLOAT, [1]) for name in PARTS),
    ]
    outputs = [value("str", TensorProto.STRING, [1, "num_return_sequences"])]
    graph = helper.make_graph(nodes, "speech", inputs, outputs, _constants())
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.contrib", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path


def told(length: int, levels: int, *settings: float) -> str:
    """Return the text for audio of a length, its levels' sum, and the inputs in their order."""
    parts = [round(value * HUNDREDTHS) for value in settings[len(WHOLE) :]]
    return " ".join(map(str, [length, levels, *settings[: len(WHOLE)], *parts]))


def _scaled(name: str, factor: str, output: str) -> list[onnx.NodeProto]:
    """Return nodes that make whole numbers of a float by a factor."""
    return [
        helper.make_node("Mul", [name, factor], [f"{output}_scaled"]),
        helper.make_node("Round", [f"{output}_scaled"], [f"{output}_rounded"]),
        helper.make_node("Cast", [f"{output}_rounded"], [output], to=TensorProto.INT64),
    ]


def _zero() -> onnx.TensorProto:
    return helper.make_tensor("zero", TensorProto.INT64, [1], [0])


def _constants() -> list[onnx.TensorProto]:
    return [
        helper.make_tensor("steps", TensorProto.FLOAT, [1], [STEPS]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("hundredths", TensorProto.FLOAT, [1], [HUNDREDTHS]),
        helper.make_tensor("one_axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("first_axis", TensorProto.INT64, [1], [0]),
        helper.make_tensor("space", TensorProto.STRING, [1], [b" "]),
    ]
