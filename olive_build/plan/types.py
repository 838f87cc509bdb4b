"""What a plan is: what it starts from, and the nodes that each bundle is made of and proved by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from olive_build.engine.graph import Graph
from olive_build.families.facts import SINGLE, Facts
from olive_build.recipe.build import DataSource, TargetBuild, Variant
from olive_build.record.manifest import Adapter
from olive_build.values import dataclass

# What is measured of a variant, by what its figures are called.
DESCRIPTION, QUALITY, LATENCY, MEMORY = "description", "quality", "latency", "memory"
WITHOUT_VNNI = "without_vnni"


@dataclass(frozen=True)
class Request:
    """A resolved build, and the folder of its recipe, to which its paths are relative."""

    build: TargetBuild
    folder: Path


@dataclass(frozen=True)
class Model:
    """A model that was inspected, or its miniature: where it is, its digest, the family's facts."""

    folder: str
    digest: str
    origin: str
    revision: str
    facts: Facts
    notes: tuple[str, ...] = ()
    """What is to be said of its files, a line each."""
    miniature: bool = False
    adapter: Adapter | None = None
    """What was merged into it, if anything; `digest` is of the merged files then."""


@dataclass(frozen=True)
class Inspected:
    """A build with all that its plan starts from."""

    build: TargetBuild
    model: Model
    samples: Mapping[str, tuple[str, str]]
    """What is read beside the model by what it is called: path and digest."""
    searches: tuple[tuple[str, str], ...] = ()
    """By variant: what its search measured and chose, as JSON."""


@dataclass(frozen=True)
class Samples:
    """What a plan reads beside the model, where it is, and what messages call it."""

    name: str
    title: str
    source: DataSource


@dataclass(frozen=True)
class Measurement:
    """A node that measures a variant: `what`, and of which file, form (onnx, ort) or candidate.

    `part` is empty where the variant is measured as a whole.
    """

    what: str
    node: str
    part: str = ""


def graph_inputs(prefix: str, graphs: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs of a step that reads all of a variant's graphs."""
    return {prefix if name == SINGLE else f"{prefix}.{name}": node for name, node in graphs.items()}


@dataclass(frozen=True)
class VariantPlan:
    """The nodes of one variant: what is shipped, the fp32 graph it came from, what is measured."""

    variant: Variant
    formats: tuple[str, ...]
    graphs: Mapping[str, str]
    """By file: `model` for a single one, else as the layout calls its parts."""
    fp32_graphs: Mapping[str, str]
    ort: str | None
    measured: tuple[Measurement, ...]

    def nodes(self) -> Iterator[str]:
        """Yield every node that the variant is made of or proved by."""
        yield from (*self.graphs.values(), *self.fp32_graphs.values())
        yield from (item.node for item in self.measured)
        if self.ort:
            yield self.ort

    def measuring(self, what: str) -> dict[str, str]:
        """Return the nodes that measure something, by file, form or candidate."""
        return {item.part: item.node for item in self.measured if item.what == what}

    @property
    def model(self) -> str:
        """The graph that is shipped, or the first of several."""
        return next(iter(self.graphs.values()))

    @property
    def fp32(self) -> str:
        """The fp32 graph that `model` came from."""
        return next(iter(self.fp32_graphs.values()))


@dataclass(frozen=True)
class BundlePlan:
    """One target's bundle: its variants and the references that it is proved on."""

    build: TargetBuild
    model: Model
    reference: str
    variants: tuple[VariantPlan, ...]
    searches: Mapping[str, str]
    parts: Mapping[str, str]
    """What proving a layout of several files runs before and after them."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """What the bundle has beside its variants, or is proved by, where a section decides that."""
    tokenizer: str | None = None
    """The tokenizer's files as clients are given them, where a bundle has any."""

    def nodes(self) -> set[str]:
        """Return every node that the bundle is made of or proved by."""
        found = {self.reference, *self.parts.values(), *self.beside.values()}
        found |= {self.tokenizer} if self.tokenizer else set()
        return found.union(*(item.nodes() for item in self.variants))


@dataclass(frozen=True)
class Plan:
    """The graph of all steps, and what becomes of their artifacts."""

    graph: Graph
    bundles: tuple[BundlePlan, ...]


def joined(plans: Sequence[Plan]) -> Plan:
    """Return one plan of several: what they have in common is one node."""
    leaves = {leaf.id: leaf for plan in plans for leaf in plan.graph.leaves}
    nodes = {node.id: node for plan in plans for node in plan.graph.nodes}
    bundles = tuple(bundle for plan in plans for bundle in plan.bundles)
    return Plan(Graph(tuple(leaves.values()), tuple(nodes.values())), bundles)
