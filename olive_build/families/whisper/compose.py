"""Whisper's graphs into what is shipped: one file from audio to text, or the files of a browser.

audio_pcm or audio_stream -> log-mel -> encoder, decoder, beam search -> text
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from olive_build.errors import StepError
from olive_build.families.graph_writer import model_of, tensor_info
from olive_build.families.whisper.audio import audio_graph
from olive_build.families.whisper.beam_search import SETTINGS, beam_search, lengths
from olive_build.families.whisper.detokenizer import detokenizer_graph
from olive_build.families.whisper.merged_decoder import merged_decoder
from olive_build.families.whisper.spec import COMPONENTS, inspect

AUDIO, TEXT = PARTS = ("audio", "detokenizer")


def part(name: str, folder: Path, opset: int, options: Mapping[str, str]) -> onnx.ModelProto:
    """Return the graph `audio`, from sound to log-mel, or `detokenizer`, from ids to text.

    Raises StepError for a tokenizer that cannot be put into a graph.
    """
    facts = inspect(folder)
    if name == AUDIO:
        takes: Any = options["input"]
        return audio_graph(facts, opset, takes)
    return detokenizer_graph(folder, facts, opset)


def compose(
    parts: Mapping[str, onnx.ModelProto], folder: Path, options: Mapping[str, str]
) -> onnx.ModelProto:
    """Return one model from audio to `str`, strings [1, num_return_sequences].

    The audio is `audio_pcm` (float32 [1, samples]) or `audio_stream` (uint8 [1, bytes]); the other
    inputs are those of the search, one number each. `options` are the language and the task of the
    prompt. Raises StepError when a component's ends are not in fp32.
    """
    facts = inspect(folder)
    prompt = facts.prompt(options.get("language"), options["task"])
    for name in COMPONENTS:
        _check_ends(name, parts[name].graph)
    imports = _imports(parts)
    audio, text = parts[AUDIO].graph, parts[TEXT].graph
    counting, constants = lengths(prompt, facts.positions)
    search, tensors = beam_search({name: parts[name] for name in COMPONENTS}, facts, prompt)
    graph = helper.make_graph(
        [*audio.node, *counting, search, *text.node],
        "audio_to_text",
        [
            *audio.input,
            *(tensor_info(name, kind, [1]) for name, kind in SETTINGS.items()),
        ],
        list(text.output),
        [*audio.initializer, *constants, *tensors, *text.initializer],
        value_info=[*audio.value_info, *text.value_info],
    )
    newest = max(model.ir_version for model in parts.values())
    return model_of(graph, dict(sorted(imports.items())), newest)


def _imports(parts: Mapping[str, onnx.ModelProto]) -> dict[str, int]:
    """Return the operator sets of all parts; those of ONNX itself are of one version."""
    imports: dict[str, int] = {"com.microsoft": 1}
    for name, model in parts.items():
        for item in model.opset_import:
            if imports.setdefault(item.domain, item.version) != item.version:
                raise StepError(
                    f"the part '{name}' is of opset {item.version}, others are of "
                    f"{imports[item.domain]}",
                    why="one file has one version of ONNX's operators",
                    hint="set `export: {opset: ...}` for the whole target",
                )
    return imports


def _check_ends(name: str, graph: onnx.GraphProto) -> None:
    allowed = (TensorProto.FLOAT, TensorProto.INT64)
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type.elem_type
        if kind not in allowed:
            raise StepError(
                f"the {name} cannot be put under a beam search",
                why=f"its '{value.name}' is {TensorProto.DataType.Name(kind).lower()}, and the "
                "search keeps its caches in fp32",
                hint="leave `keep_io_types` on, or use another method",
            )


def join(file: str, parts: Mapping[str, onnx.ModelProto], folder: Path) -> onnx.ModelProto:
    """Return the file of a split layout that holds several components: the merged decoder."""
    return merged_decoder(parts, inspect(folder))
