"""No regular expression takes longer than its text is long, whatever the text."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

constants: Any = re._constants  # type: ignore[attr-defined]
parser: Any = re._parser  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parents[1] / "olive_build"
LENGTH = 20_000
# Linear ones take some milliseconds of such a text, a square seconds, a cube hours.
MOST_SECONDS = 0.5
# What reads a text of ours alone: the region of a page of the documentation.
OURS = {"recipe/docs.py"}
SIGNS = [" ", "a", *map(chr, range(0x250)), "\ud800", "\ufffe"]
CLASSES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}


def patterns() -> Iterator[tuple[str, str, bool]]:
    """Yield where each pattern stands, its text, and whether it is only matched as a whole."""
    for path in sorted(ROOT.rglob("*.py")):
        name, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if name in OURS:
            continue
        tree = ast.parse(source)
        # A text that must match as a whole is not tried from each of its signs.
        whole = set(re.findall(r"\b([A-Z_]+)\.fullmatch\(", source))
        whole -= set(re.findall(r"\b([A-Z_]+)\.(?:search|match|sub|split|find)", source))
        names = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(ast.Name("re")), args=[ast.Constant(text), *_]):
                    text = text.decode() if isinstance(text, bytes) else text
                    yield f"{name}:{node.lineno}", str(text), names.get(id(node)) in whole
                case ast.Assign(value=ast.Constant(str(text))) if names.get(
                    id(node.value), ""
                ).endswith("_PATTERN"):
                    yield f"{name}:{node.lineno}", text, True


def pumped(items: Any, before: str = "") -> Generator[tuple[str, str], None, str]:
    """Yield, for each repetition, a text that leads to it and one round; return a whole match."""
    text = before
    for kind, value in items:
        if kind is constants.LITERAL:
            text += chr(value)
        elif kind is constants.IN:
            text += next(sign for sign in SIGNS if _takes(value, sign))
        elif kind in (constants.ANY, constants.NOT_LITERAL):
            text += "a"
        elif kind is constants.SUBPATTERN:
            text = yield from pumped(value[3], text)
        elif kind is constants.BRANCH:
            start = text
            for branch in value[1]:
                text = yield from pumped(branch, start)
        elif kind in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            round_ = yield from pumped(value[2])
            yield text, round_
            text += round_
    return text


def _takes(members: Any, sign: str) -> bool:
    found, negated = False, False
    for kind, value in members:
        negated |= kind is constants.NEGATE
        found |= kind is constants.LITERAL and ord(sign) == value
        found |= kind is constants.RANGE and value[0] <= ord(sign) <= value[1]
        found |= kind is constants.CATEGORY and re.match(CLASSES[value], sign) is not None
    return found != negated


def slowest(pattern: str, *, whole: bool) -> float:
    """Return the seconds that the worst of the made-up texts takes."""
    worst = 0.0
    compiled = [re.compile(pattern, flags) for flags in (0, re.MULTILINE)]
    for before, round_ in pumped(parser.parse(pattern)):
        for text in (
            before + round_ * LENGTH,
            (before + round_) * (LENGTH // len(before + round_)),
        ):
            for each in compiled:
                started = time.perf_counter()
                (each.fullmatch if whole else each.search)(f"{text}\n\0")
                worst = max(worst, time.perf_counter() - started)
    return worst


FOUND = list(patterns())


def test_a_pattern_that_costs_a_square_is_found() -> None:
    assert slowest(r"(\S+) end", whole=False) > MOST_SECONDS


@pytest.mark.parametrize("found", FOUND, ids=[where for where, *_ in FOUND])
def test_a_pattern_is_linear(found: tuple[str, str, bool]) -> None:
    where, pattern, whole = found
    assert slowest(pattern, whole=whole) < MOST_SECONDS, f"{where}: {pattern}"
