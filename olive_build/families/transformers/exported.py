"""What transformers' exporter wrote, with the library's names and the outputs that are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import onnx

from olive_build.rewrites.clean import name_nodes, save_clean
from olive_build.rewrites.drop_dead import drop_dead
from olive_build.rewrites.repeated_nodes import drop_repeated_nodes

INPUT, OUTPUT = "input.", "output."


def keep(
    model: onnx.ModelProto,
    outputs: Collection[str],
    axes: Mapping[str, Mapping[int, str]],
    out: Path,
) -> None:
    """Write `out`/model.onnx with these outputs alone, and with these names of free axes."""
    graph = model.graph
    names = {value.name: value.name.removeprefix(INPUT) for value in graph.input}
    names |= {value.name: value.name.removeprefix(OUTPUT) for value in graph.output}
    _rename(graph, names)
    kept = [value for name in outputs for value in graph.output if value.name == name]
    del graph.output[:]
    graph.output.extend(kept)
    for value in (*graph.input, *graph.output):
        for index, text in axes.get(value.name, {}).items():
            value.type.tensor_type.shape.dim[index].dim_param = text
    name_nodes(model)
    drop_repeated_nodes(model)
    drop_dead(model)
    save_clean(model, out / "model.onnx")


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)
