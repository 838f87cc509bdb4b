"""The pairs of architecture and task that the matrix has, in the order in which they are built."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

import yaml

from tests.families.transformers import census

TABLE = Path(__file__).with_name("pairs.yaml")


class Pair(census.Pair):
    """A class with its type, and what it is asked to do."""

    @property
    def task(self) -> str:
        return next(task for task, names in _table()["tasks"].items() if self.name in names)


@cache
def pairs() -> tuple[Pair, ...]:
    """Return all pairs, the first of every task before the second of any."""
    types = {pair.name: pair.model_type for pair in census.pairs()} | _table()["types"]
    rows = zip_longest(*_table()["tasks"].values())
    names = [name for name in chain.from_iterable(rows) if name is not None]
    return tuple(Pair(name, types[name]) for name in names)


def drawn(by: str, of: int = 10) -> list[Pair]:
    """Return a tenth of the pairs, drawn by a commit, in an order that it draws too."""

    def place(pair: Pair) -> str:
        return hashlib.sha256(f"{by} {pair.name}".encode()).hexdigest()

    ordered = sorted(pairs(), key=place)
    return ordered[: -(-len(ordered) // of)]


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    loaded: dict[str, dict[str, list[str]]] = yaml.safe_load(TABLE.read_text("utf-8"))
    return loaded
