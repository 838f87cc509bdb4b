"""How many layers a recipe names, so that a miniature has them: from its patterns alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from olive_build.recipe.build import TargetBuild

# A layer's number stands between dots or slashes: `encoder.layer.[0-5].output`, `/layers.11/mlp`.
NUMBER = re.compile(r"(?<![^./])(?:\d|\[[\d-]+\])+(?![^./])")
DIGIT = re.compile(r"\d|\[[\d-]+\]")
# A miniature of more would be none.
MOST = 64


def layers_named(builds: Iterable[TargetBuild]) -> int:
    """Return how many layers a model has that has all those which the builds name; 0 for none."""
    numbers = (
        number + 1
        for build in builds
        for pattern in _patterns(build)
        for found in NUMBER.findall(pattern)
        if (number := _highest(found)) < MOST
    )
    return max(numbers, default=0)


def _highest(text: str) -> int:
    """Return the highest number that digits and sets of digits match: `1[0-3]` is 13."""
    return int("".join(max(re.findall(r"\d", part), default="0") for part in DIGIT.findall(text)))


def _patterns(build: TargetBuild) -> Iterator[str]:
    """Yield the names and patterns of nodes, modules and parameters that a build has."""
    for variant in build.variants:
        convolutional = variant.convolutional.methods if variant.convolutional else ()
        for method in (*variant.methods, *convolutional):
            yield from method.node_patterns() if method else ()
    for request in build.passes:
        yield from re.findall(r'"([^"]*)"', request.options)
    for section in build.sections:
        yield from section.patterns()
