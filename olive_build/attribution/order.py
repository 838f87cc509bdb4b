"""Pairs of values of two graphs that fit one common order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from olive_build.attribution.index import GraphIndex


@dataclass(frozen=True)
class Point:
    """One quantity in both graphs: the value's name in each, its types, and how near they are.

    `cosine` is of the values when each graph computes on its own. The types are ONNX's.
    """

    reference: str
    variant: str
    cosine: float
    by_name: bool
    reference_type: int
    variant_type: int


class Order:
    """The pairs chosen so far, and whether one more pair would contradict their order."""

    def __init__(self, graphs: Sequence[GraphIndex], pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._before = [ancestors(graph) for graph in graphs]
        self._places = [{name: i for i, name in enumerate(found)} for found in self._before]
        self._pairs: list[tuple[str, str]] = list(pairs)

    def add(self, reference: str, variant: str) -> None:
        """Take a pair among those that others must agree with."""
        self._pairs.append((reference, variant))

    def allows(self, reference: str, variant: str) -> bool:
        """Whether no chosen pair stands before this one in one graph and after in the other."""
        ours, theirs = self._places
        before = self._before[0][reference], self._before[1][variant]
        bits = 1 << ours[reference], 1 << theirs[variant]
        for one, other in self._pairs:
            earlier = before[0] >> ours[one] & 1, before[1] >> theirs[other] & 1
            later = self._before[0][one] & bits[0], self._before[1][other] & bits[1]
            if (earlier[0] and later[1]) or (later[0] and earlier[1]):
                return False
        return True


def ancestors(graph: GraphIndex) -> dict[str, int]:
    """Return, for each value that depends on an input, those that it is made from, as bits."""
    places = {name: place for place, name in enumerate(graph.varying)}
    found: dict[str, int] = {}
    for node, reads in zip(graph.nodes, graph.reads, strict=True):
        mask = 0
        for name in reads:
            if name in places:
                mask |= found[name] | 1 << places[name]
        found.update({name: mask for name in node.output if name in places})
    return {name: found[name] for name in graph.varying}


def consistent(points: list[Point], reference: GraphIndex, variant: GraphIndex) -> list[Point]:
    """Return the points without those that would put a value before what it is made from."""
    kept = list(points)
    while circle := _circle(kept, reference, variant):
        # The least sure one of the circle goes: of those by number before those by name.
        inside = [point for point in kept if point.variant in circle]
        weakest = min(inside, key=lambda point: (point.by_name, point.cosine))
        kept.remove(weakest)
    return kept


def _circle(points: list[Point], reference: GraphIndex, variant: GraphIndex) -> set[str]:
    """Return the points' values that depend on themselves once both graphs are one."""
    merged = {point.reference: ("point", point.variant) for point in points}
    own = {point.variant for point in points}
    needs: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for side, graph in (("reference", reference), ("variant", variant)):
        for name, place in graph.producer.items():
            sources = {
                _merged(side, read, merged, own)
                for read in graph.reads[place]
                if read in graph.producer
            }
            needs.setdefault(_merged(side, name, merged, own), set()).update(sources)
    return {name for kind, name in _left_over(needs) if kind == "point"}


def _merged(
    side: str, name: str, merged: dict[str, tuple[str, str]], own: set[str]
) -> tuple[str, str]:
    if side == "reference":
        return merged.get(name, (side, name))
    return ("point", name) if name in own else (side, name)


def _left_over(
    needs: dict[tuple[str, str], set[tuple[str, str]]],
) -> Iterator[tuple[str, str]]:
    """Yield what no order can hold: the values on, or after, a circle."""
    waiting = {value: len(sources) for value, sources in needs.items()}
    users: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for value, sources in needs.items():
        for source in sources:
            users.setdefault(source, []).append(value)
    ready = [value for value, count in waiting.items() if not count]
    while ready:
        for user in users.get(ready.pop(), ()):
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    return (value for value, count in waiting.items() if count)
