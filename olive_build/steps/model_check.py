"""What a step that writes a model is checked for: it loads, changed, and holds its operators."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path

import onnx

from olive_build.errors import StepError, first_line
from olive_build.onnx_files import models
from olive_build.onnx_files.data_files import files_of
from olive_build.rewrites.clean import graphs
from olive_build.steps.notes import IF_THERE, note

MODEL = "model.onnx"
# Weights below this many values are biases, scales and tables that nobody quantizes.
LARGE_WEIGHT = 16_384
WITH_WEIGHTS = ("MatMul", "Gemm", "Gather", "Attention", "Conv", "ConvTranspose")


def read(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Return the model at `path`, with its `weights` those that lie beside it too.

    Raises StepError when it is missing or damaged.
    """
    try:
        model = models.read(path, weights=weights)
    except Exception as error:
        raise StepError(f"{path.name} is no ONNX model", why=first_line(error)) from error
    if not model.graph.node:
        raise StepError(f"{path.name} is no ONNX model", why="its graph has no nodes")
    return model


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Count operators as `domain::operator`, subgraphs included; ONNX's own have no prefix."""
    return Counter(
        f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        for graph in graphs(model.graph)
        for node in graph.node
    )


def require_operators(model: onnx.ModelProto, wanted: Iterable[str], *, step: str) -> None:
    """Raise StepError unless every operator in `wanted` is in the model."""
    found = operators(model)
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise StepError(
            f"{step} left no {missing[0]} behind",
            why=f"the model's operators are {', '.join(sorted(found))}",
            hint="the step found nothing that it applies to; see the log for the pass's messages",
        )


def require_change(before: Path, after: Path, *, step: str) -> None:
    """Raise StepError when the step wrote its input's bytes."""
    pairs = list(zip_longest(files_of(before), files_of(after)))
    if all(one and other and filecmp.cmp(one, other, shallow=False) for one, other in pairs):
        raise StepError(
            f"{step} changed nothing",
            why="its output has the bytes of its input",
            hint="remove the step from the recipe, or place it where there is something for it",
        )


def large_float_weights(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Return the large fp32 weights that products or lookups read: {node name: weight names}.

    A tensor with all its values along one axis is none: a table of scales, or a bias.
    """
    large = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and _values(tensor.dims) >= LARGE_WEIGHT
        and max(tensor.dims) < _values(tensor.dims)
    }
    # A weight may reach its node through the transposition that a tied embedding needs.
    for node in model.graph.node:
        if node.op_type in ("Transpose", "Identity") and node.input[0] in large:
            large.add(node.output[0])
    return {
        node.name: tuple(name for name in node.input if name in large)
        for node in model.graph.node
        if node.op_type in WITH_WEIGHTS and any(name in large for name in node.input)
    }


def _values(dims: Collection[int]) -> int:
    count = 1
    for dim in dims:
        count *= dim
    return count


def matching_nodes(model: onnx.ModelProto, patterns: Iterable[str], out: Path) -> list[str]:
    """Return the names of nodes that the shell patterns match; each must match at least one.

    Raises StepError for a pattern that matches nothing: an exclusion that does nothing is a typo.
    One that begins with IF_THERE may match nothing, which is noted in `out`.
    """
    names = [node.name for graph in graphs(model.graph) for node in graph.node]
    chosen: set[str] = set()
    for given in patterns:
        pattern = given.removeprefix(IF_THERE)
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found and pattern != given:
            note(out, f"the pattern '{pattern}' was not checked: a miniature has no such layer")
        elif not found:
            from difflib import get_close_matches

            near = get_close_matches(pattern, names, n=3, cutoff=0.3)
            raise StepError(
                f"exclude pattern '{pattern}' matches no node",
                why="a pattern must match the name of at least one node of the graph",
                hint=f"near it are: {', '.join(near)}" if near else None,
            )
        chosen |= found
    return sorted(chosen)


def require_quantized(
    model: onnx.ModelProto, *, excluded: Iterable[str], exempt: Iterable[str], step: str
) -> None:
    """Raise StepError when a large weight stayed in fp32 without being excluded by the recipe.

    `exempt` names operators that the method leaves alone by its options.
    """
    allowed = set(excluded)
    kinds = {node.name: node.op_type for node in model.graph.node}
    left = {
        node: weights
        for node, weights in large_float_weights(model).items()
        if node not in allowed and kinds[node] not in set(exempt)
    }
    if left:
        node, weights = next(iter(sorted(left.items())))
        raise StepError(
            f"{step} left {len(left)} large weights in fp32",
            where=f"node '{node}' ({kinds[node]}), weight '{weights[0]}'",
            why="the quantizer passed them by without a word",
            hint=f"exclude them in the recipe if that is wanted: `exclude: ['{node}']`",
        )
