"""Values that are the same quantity in two graphs of one model, by their names and by numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from olive_build.attribution.index import GraphIndex
from olive_build.attribution.order import Order, Point, ancestors, consistent
from olive_build.attribution.session import Arrays, Runner, is_float
from olive_build.errors import UsageError

# More samples make a match no surer; each holds all values of both graphs for a moment.
SAMPLES = 6
# Of each value this many numbers are compared: enough to tell two layers of one stream apart.
NUMBERS = 2048
# The least agreement of two values without a common name. A layer that is off by a factor of two
# has it still, two neighbouring layers of one residual stream seldom.
LEAST = 0.9
# What each factor of two in size costs: of x and 2 x the equal one is chosen, and sums of whole
# numbers, whose scales follow, are not what they become.
SCALE_PENALTY = 0.05
# From here on the names of two graphs are taken to mean the same.
LINEAGE = 0.5
# From here on two values of one name are the same, whatever makes them.
CLOSE = 0.98
# Below this agreement two values of one name may be different quantities.
UNLIKE = 0.5
# What being at another depth of the graph costs: it decides between equals.
DEPTH_PENALTY = 1e-4
# What being made by another operator costs: adding a bias near 0 changes a value less than int8.
KIND_PENALTY = 0.003
# Smaller whole-number values are shapes and axes, which are equal to many others by chance.
LEAST_INTEGERS = 8


@dataclass(frozen=True)
class _Sketch:
    """What is remembered of one value over the samples: shapes, some numbers, whether exact."""

    place: int
    kind: str
    type: int
    shapes: tuple[tuple[int, ...], ...]
    numbers: npt.NDArray[np.float64]
    integers: bool


def matching_points(
    reference: onnx.ModelProto, variant: onnx.ModelProto, feeds: Iterable[Arrays]
) -> tuple[Point, ...]:
    """Return the values that are the same quantity in both graphs, in the variant's order.

    First values of one name, which rewrites and quantizers keep; then, by numbers, those of the
    same shape on the samples that agree best. Whole numbers count only when they are equal. No two
    points contradict each other's order, so that any cut between them can be exchanged. Looks at
    the first SAMPLES feeds. Raises UsageError when the graphs have no input in common.
    """
    graphs = GraphIndex(reference), GraphIndex(variant)
    _require_common_inputs(*graphs)
    samples = list(islice(feeds, SAMPLES))
    if not samples:
        raise UsageError("there are no inputs to compare the graphs on")
    sketches = [_sketch(graph, samples) for graph in graphs]
    named = _without_renewed(_by_name(sketches, graphs), graphs[1])
    points = consistent([*named, *_by_numbers(sketches, graphs, named)], *graphs)
    return tuple(sorted(points, key=lambda point: sketches[1][point.variant].place))


def _require_common_inputs(reference: GraphIndex, variant: GraphIndex) -> None:
    if not set(reference.inputs) & set(variant.inputs):
        raise UsageError(
            "the two graphs have no input in common",
            why=f"one takes {', '.join(reference.inputs)}, the other {', '.join(variant.inputs)}",
            hint="compare two files of one model that take the same inputs",
        )


def _sketch(graph: GraphIndex, samples: Sequence[Arrays]) -> dict[str, _Sketch]:
    """Run the graph on each sample and keep a little of every value that depends on an input."""
    runner = Runner(graph.model, graph.varying)
    parts: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in graph.varying}
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in graph.varying}
    for sample in samples:
        for name, value in runner.run(sample, graph.varying).items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                flat = value.reshape(-1)
                stride = max(1, -(-len(flat) // NUMBERS))
                parts[name].append(flat[::stride].copy())
                shapes[name].append(value.shape)
    places = {name: place for place, name in enumerate(graph.varying)}
    return {
        name: _Sketch(
            place=places[name],
            kind=graph.nodes[graph.producer[name]].op_type,
            type=helper.np_dtype_to_tensor_dtype(found[0].dtype),
            shapes=tuple(shapes[name]),
            numbers=np.concatenate(found).astype(np.float64),
            integers=not is_float(found[0]),
        )
        for name, found in parts.items()
        if len(found) == len(samples)
    }


def _by_name(sketches: Sequence[dict[str, _Sketch]], graphs: Sequence[GraphIndex]) -> list[Point]:
    """Return the points of one name; where names mean little, of the graphs' outputs alone."""
    reference, variant = sketches
    alike = [
        name
        for name, sketch in variant.items()
        if name in reference
        and reference[name].shapes == sketch.shapes
        and reference[name].integers == sketch.integers
    ]
    if not _related(sketches, alike):
        alike = [name for name in alike if all(name in graph.outputs for graph in graphs)]
    points = []
    for name in alike:
        score, cosine = _score(reference[name], variant[name])
        if score >= LEAST or not variant[name].integers:
            types = reference[name].type, variant[name].type
            points.append(Point(name, name, cosine, True, *types))
    return points


def _related(sketches: Sequence[dict[str, _Sketch]], alike: Sequence[str]) -> bool:
    """Whether one graph was made from the other, so that equal names mean equal values.

    Then most values of one name are made by one kind of node, or at least agree. Two exporters
    that number their values have names in common by chance.
    """
    floats = [name for name in alike if not sketches[1][name].integers]
    fewest = min(sum(not sketch.integers for sketch in side.values()) for side in sketches)
    kin = [
        name
        for name in floats
        if sketches[0][name].kind == sketches[1][name].kind
        or _score(sketches[0][name], sketches[1][name])[0] >= CLOSE
    ]
    return len(kin) >= LINEAGE * max(1, len(floats)) and len(floats) >= LINEAGE * fewest


def _without_renewed(points: list[Point], graph: GraphIndex) -> list[Point]:
    """Drop values that share a name and little else, while what follows from them agrees.

    Damage lasts; a value that a rewrite expresses in another way, such as scaled by channel, is
    made good by the next node.
    """
    before = ancestors(graph)
    places = {name: place for place, name in enumerate(before)}
    agreeing = 0
    for point in points:
        if point.cosine >= LEAST:
            agreeing |= before[point.variant]
    return [
        point
        for point in points
        if point.cosine >= UNLIKE or not agreeing >> places[point.variant] & 1
    ]


def _score(one: _Sketch, other: _Sketch) -> tuple[float, float]:
    """Return how sure it is that both are one quantity, and their cosine."""
    if one.integers:
        equal = float(np.array_equal(one.numbers, other.numbers))
        return equal, equal
    norms = np.linalg.norm(one.numbers), np.linalg.norm(other.numbers)
    if not all(np.isfinite(norms)):
        return 0.0, 0.0
    if not all(norms):
        both = float(not any(norms))
        return both, both
    cosine = float(one.numbers @ other.numbers / (norms[0] * norms[1]))
    # About the mean, since values of one sign all have a cosine near 1.
    centred = one.numbers - one.numbers.mean(), other.numbers - other.numbers.mean()
    spreads = np.linalg.norm(centred[0]), np.linalg.norm(centred[1])
    alike = float(centred[0] @ centred[1] / (spreads[0] * spreads[1])) if all(spreads) else cosine
    off = abs(float(np.log2(norms[0] / norms[1])))
    return alike - SCALE_PENALTY * off, cosine


def _by_numbers(
    sketches: Sequence[dict[str, _Sketch]], graphs: Sequence[GraphIndex], named: Sequence[Point]
) -> list[Point]:
    """Return pairs that are each other's best partner, the clearest choices first.

    What was chosen takes partners from the others that would contradict its order, so further
    rounds decide what was open before.
    """
    order = Order(graphs, [(point.reference, point.variant) for point in named])
    scores = _scores(sketches, named)
    points = []
    while chosen := _mutual_best(scores):
        for pair in chosen:
            if order.allows(*pair):
                order.add(*pair)
                types = sketches[0][pair[0]].type, sketches[1][pair[1]].type
                cosine = _score(sketches[0][pair[0]], sketches[1][pair[1]])[1]
                points.append(Point(*pair, cosine, False, *types))
        taken = {point.reference for point in points}, {point.variant for point in points}
        scores = {
            pair: score
            for pair, score in scores.items()
            if pair[0] not in taken[0] and pair[1] not in taken[1] and order.allows(*pair)
        }
    return points


def _scores(
    sketches: Sequence[dict[str, _Sketch]], named: Sequence[Point]
) -> dict[tuple[str, str], float]:
    """Return how sure each pair is of values of one shape that have no partner by name."""
    taken = {point.reference for point in named}, {point.variant for point in named}
    groups: dict[object, list[str]] = {}
    for name, sketch in sketches[0].items():
        if name not in taken[0]:
            groups.setdefault((sketch.shapes, sketch.integers), []).append(name)
    scores = {}
    for name, sketch in sketches[1].items():
        if name in taken[1] or _tells_little(sketch):
            continue
        for other in groups.get((sketch.shapes, sketch.integers), ()):
            score, _ = _score(sketches[0][other], sketch)
            # Of values that are copies of each other, those at a similar depth belong together.
            depths = sketches[0][other].place / len(sketches[0]), sketch.place / len(sketches[1])
            if score >= LEAST:
                other_kind = sketches[0][other].kind != sketch.kind
                scores[other, name] = (
                    score - DEPTH_PENALTY * abs(depths[0] - depths[1]) - KIND_PENALTY * other_kind
                )
    return scores


def _mutual_best(scores: dict[tuple[str, str], float]) -> list[tuple[str, str]]:
    """Return the pairs in which each is the other's best, by how far the second best is behind."""
    ranked: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for pair, score in sorted(scores.items(), key=lambda item: -item[1]):
        for side, name in enumerate(pair):
            ranked[side].setdefault(name, []).append(score)
    margins = {
        pair: min(_margin(ranked[side][name], score) for side, name in enumerate(pair))
        for pair, score in scores.items()
    }
    best = [pair for pair, margin in margins.items() if margin >= 0]
    return sorted(best, key=lambda pair: -margins[pair])


def _margin(ranked: Sequence[float], score: float) -> float:
    """Return how far a score is ahead of the best other one; less than 0 where it is not best."""
    if score < ranked[0]:
        return score - ranked[0]
    return score - (ranked[1] if len(ranked) > 1 else 0.0)


def _tells_little(sketch: _Sketch) -> bool:
    """Whether a value equals others by chance: a shape, a mask of zeros, a constant."""
    if sketch.integers:
        return len(sketch.numbers) < LEAST_INTEGERS * len(sketch.shapes)
    return len(sketch.numbers) < LEAST_INTEGERS or not np.ptp(sketch.numbers) > 0
