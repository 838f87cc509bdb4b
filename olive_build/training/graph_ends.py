"""The names of a graph's inputs and outputs, which a recipe chooses, inner values notwithstanding.

The exporter calls inner values by what computes them, `linear` or `add`, and gives an input or an
output any name that is asked for, also one that an inner value has: two values are one then. So a
graph is exported with names at its ends that nothing else has, and gets the recipe's afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from olive_build.rewrites.clean import graphs

# Parameters' names begin with the wrapper's attribute, inner values' hold no dot.
EXPORTED = "end."
INNER = "inner"


def exported_name(name: str) -> str:
    """Return what an input or output is called while its graph is exported."""
    return f"{EXPORTED}{name}"


def name_ends(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Call inputs and outputs by `names`, by their present ones; an inner value gives way.

    `names` has every input and output. Names of parameters are the caller's to keep apart.
    """
    wanted = set(names.values())
    every = {name for graph in graphs(model.graph) for name in _values(graph)}
    renamed = {name: _free(name, every | wanted) for name in sorted(every & wanted - set(names))}
    renamed |= names
    for graph in graphs(model.graph):
        _rename(graph, renamed)


def _values(graph: onnx.GraphProto) -> set[str]:
    found = {value.name for value in (*graph.input, *graph.output)}
    found |= {item.name for item in graph.initializer}
    return found | {name for node in graph.node for name in node.output}


def _free(name: str, taken: set[str]) -> str:
    found = f"{name}_{INNER}"
    while found in taken:
        found += "_"
    return found


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            for index, name in enumerate(ends):
                ends[index] = names.get(name, name)
