"""Resolved builds -> one graph of steps. The only place where recipes and steps meet. Pure.

    export -> fuse -> quantize -> compose -> convert -> describe, quality, latency

A recipe's own passes stand before or after these stages. Equal steps of different targets and
variants are one node, so work that targets share is done once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olive_build.engine.graph import Graph, GraphBuilder, Step
from olive_build.errors import PlanError
from olive_build.families import FAMILIES, FamilySpec
from olive_build.proof.limit import Limit
from olive_build.quantization_plan import QuantizationPlanner, Quantized
from olive_build.recipe.build import Fp16, Quantize, TargetBuild, Variant
from olive_build.steps.calibration import CalibrationInputs
from olive_build.steps.compose import BuildTokenizer, Compose
from olive_build.steps.convert_ort import MODEL_NAME, ORT_MODEL, ConvertToOrt
from olive_build.steps.describe import Describe
from olive_build.steps.export import Export
from olive_build.steps.fix_shapes import FixShapes
from olive_build.steps.footprint import MeasureFootprint
from olive_build.steps.fuse import FuseAttention, SeparateProjection
from olive_build.steps.latency import MeasureLatency
from olive_build.steps.olive_pass import OlivePass
from olive_build.steps.quality import MeasureQuality
from olive_build.steps.reference import Reference
from olive_build.steps.samples import SplitSamples
from olive_build.steps.simplify import SimplifyForCpu
from olive_build.steps.without_vnni import MeasureWithoutVnni
from olive_build.targets import load_provider

# Files are timed on one core and on two, at the sizes of their family.
TIMED_THREADS = (1, 2)
# What all targets of a recipe share, whatever their graphs are like.
SHARED_STAGES = ("export", "tokenizer", "samples", "calibration")
# Where this machine is the target's kind: only there a file is run by its own provider and timed.
OWN_PROVIDER_RUNS = ("desktop", "cpu")
# What multiplies 8 bits by 8 bits, for which x86 processors have two kinds of kernels.
EIGHT_BIT_PRODUCTS = ("int8", "w8a8")


@dataclass(frozen=True)
class Model:
    """A model that was inspected: where it is, its digest, and the family's facts of it."""

    folder: str
    digest: str
    origin: str
    revision: str
    facts: Any


@dataclass(frozen=True)
class Inspected:
    """A build with all that its plan starts from."""

    build: TargetBuild
    model: Model
    data: str
    data_digest: str
    calibration: str
    calibration_digest: str
    searches: tuple[tuple[str, str], ...] = ()
    """By variant: what its search measured and chose, as JSON."""


@dataclass(frozen=True)
class VariantPlan:
    """The nodes of one variant: what is shipped, the fp32 graph it came from, what is measured."""

    variant: Variant
    model: str
    fp32: str
    ort: str | None
    description: str
    quality: Mapping[str, str]
    latency: str | None
    memory: Mapping[str, str]
    """By candidate: `this file`, `fp32 graph` where that is another, `pytorch`; or nothing."""
    without_vnni: str | None


@dataclass(frozen=True)
class BundlePlan:
    """One target's bundle: its variants and the references that it is proved on."""

    build: TargetBuild
    model: Model
    reference: str
    variants: tuple[VariantPlan, ...]
    searches: Mapping[str, str]

    def nodes(self) -> set[str]:
        """Return every node that the bundle is made of or proved by."""
        found = {self.reference}
        for item in self.variants:
            found |= {item.model, item.fp32, item.description}
            found |= {*item.quality.values(), *item.memory.values()}
            found |= {node for node in (item.ort, item.latency, item.without_vnni) if node}
        return found


@dataclass(frozen=True)
class Plan:
    """The graph of all steps, and what becomes of their artifacts."""

    graph: Graph
    bundles: tuple[BundlePlan, ...]


def make_plan(inspected: Sequence[Inspected], machine: str, *, smoke: bool = False) -> Plan:
    """Return the plan of builds whose models were inspected.

    `machine` is the fingerprint under which figures are stored. With `smoke` the steps are the
    same over less work. Raises PlanError when a build cannot be planned.
    """
    graph = GraphBuilder()
    bundles = []
    for item in inspected:
        build, model = item.build, item.model
        source = graph.leaf(model.folder, model.digest)
        reference = graph.add(
            Reference(build.family, dict(build.shapes).get("sequence_length")),
            {"source": source, "data": graph.leaf(item.data, item.data_digest)},
            f"{build.recipe}/reference",
            otherwise=f"{build.recipe}/{build.target}/reference",
        )
        calibration = graph.leaf(item.calibration, item.calibration_digest)
        planner = TargetPlanner(graph, build, model, source, calibration, reference, machine, smoke)
        variants = tuple(planner.variant(variant) for variant in build.variants)
        bundles.append(BundlePlan(build, model, reference, variants, dict(item.searches)))
    return Plan(graph.build(), tuple(bundles))


@dataclass
class TargetPlanner:
    """Adds the steps of one target to a graph; nodes that targets share are added once."""

    graph: GraphBuilder
    build: TargetBuild
    model: Model
    source: str
    calibration: str
    reference: str
    machine: str
    smoke: bool

    def variant(self, variant: Variant) -> VariantPlan:
        build = self.build
        shipped = self._graph_of(variant)
        fp32 = self._graph_of(None)
        ort = self._ort(variant, shipped) if "ort" in build.formats else None
        files = {"onnx": (shipped, MODEL_NAME)} if "onnx" in build.formats else {}
        if ort:
            files["ort"] = (ort, ORT_MODEL)
        return VariantPlan(
            variant=variant,
            model=shipped,
            fp32=fp32,
            ort=ort,
            description=self.add(
                Describe(build.layout == "mobile", _estimated(build.provider)),
                {"model": shipped},
                variant,
                "describe",
            ),
            quality={
                form: self.add(
                    MeasureQuality(file, self.machine),
                    {"model": node, "reference": self.reference}
                    | ({} if shipped == fp32 else {"baseline": fp32}),
                    variant,
                    f"quality-{form}",
                )
                for form, (node, file) in files.items()
            },
            latency=self._latency(variant, shipped, fp32),
            memory=self._memory(variant, shipped, fp32),
            without_vnni=self._without_vnni(variant, shipped),
        )

    def _graph_of(self, variant: Variant | None) -> str:
        """Return the node of a variant's shipped graph; None gives the fp32 graph it came from."""
        return self.composed(variant, self.core(variant).node)

    def core(self, variant: Variant | None) -> Quantized:
        """Return the nodes of the model itself, and of the fp32 graph with the same layers."""
        build = self.build
        node = self.add(Export(build.family, build.opset), {"source": self.source}, None, "export")
        node = self._passes("after", "export", variant, node)
        node = self._passes("before", "fuse", variant, node)
        if self._fused:
            node = self._fused_graph(variant, node)
        node = self._passes("after", "fuse", variant, node)
        if build.shapes:
            node = self.add(FixShapes(build.shapes), {"model": node}, None, "fix-shapes")
        node = self._passes("before", "quantize", variant, node)
        core = Quantized(node, node)
        if variant is not None and variant.quantize is not None:
            core = self._quantize(variant, variant.quantize, node)
        return Quantized(self._passes("after", "quantize", variant, core.node), core.before)

    def composed(self, variant: Variant | None, node: str) -> str:
        build = self.build
        node = self._passes("before", "compose", variant, node)
        if build.compose == "single-file":
            inputs = {"model": node, "source": self.source}
            if self._family.has_tokenizer:
                step = BuildTokenizer(build.family, build.opset)
                inputs["tokenizer"] = self.add(step, {"source": self.source}, None, "tokenizer")
            node = self.add(Compose(build.family), inputs, variant, "compose")
        return self._passes("after", "compose", variant, node)

    def _fused_graph(self, variant: Variant | None, node: str) -> str:
        """Return the node of the graph with attention fused, as the provider's kernels want it."""
        node = self.add(FuseAttention(self.model.facts.layers), {"model": node}, None, "fuse")
        method = variant.quantize if variant else None
        on_cpu = self.build.provider == "cpu"
        if isinstance(method, Fp16) or not (on_cpu or method):
            return node
        node = self.add(SeparateProjection(), {"model": node}, None, "separate-projection")
        return self.add(SimplifyForCpu(), {"model": node}, None, "simplify") if on_cpu else node

    def _quantize(self, variant: Variant, method: Quantize, node: str) -> Quantized:
        def add(step: Step, inputs: Mapping[str, str], stage: str) -> str:
            return self.add(step, inputs, variant, stage)

        convolutional = self.model.facts.layers == 0  # no attention in it
        planner = QuantizationPlanner(add, self.calibration_inputs, convolutional)
        return planner.quantize(method, node)

    def calibration_inputs(self, part: str = "learn") -> str:
        """Return the node of the calibration inputs that quantizers learn from, or the others."""
        data = self.add(SplitSamples(part), {"data": self.calibration}, None, f"samples-{part}")
        inputs = {"source": self.source, "data": data}
        step = CalibrationInputs(self.build.family, self.build.shapes)
        return self.add(step, inputs, None, f"calibration-{part}")

    def _passes(self, placement: str, stage: str, variant: Variant | None, node: str) -> str:
        name = variant.name if variant else "fp32"
        for request in self.build.passes:
            if (request.placement, request.stage) != (placement, stage):
                continue
            if request.variants is None or name in request.variants:
                step = OlivePass(request.name, request.options)
                node = self.add(step, {"model": node}, variant, f"{stage}-{request.name}")
        return node

    def _ort(self, variant: Variant, shipped: str) -> str:
        # What the provider runs itself must stay as it is in the file; what falls to the CPU
        # anyway is better off with the CPU's optimizations baked in.
        own = variant.precision in load_provider(self.build.provider).precisions
        own = own and self.build.provider != "cpu"
        step = ConvertToOrt("runtime" if own else "fixed")
        return self.add(step, {"model": shipped}, variant, "convert-ort")

    @property
    def _runs_here(self) -> bool:
        build = self.build
        return (build.target, build.provider) == OWN_PROVIDER_RUNS and build.timing

    @property
    def _family(self) -> FamilySpec:
        return FAMILIES[self.build.family]

    @property
    def _fused(self) -> bool:
        """Whether attention is fused: as the build says, where the model has any."""
        return self.build.attention == "fused" and self.model.facts.layers > 0

    @property
    def _takes(self) -> str:
        composed, bare = self._family.takes
        return composed if self.build.compose == "single-file" else bare

    def _latency(self, variant: Variant, shipped: str, fp32: str) -> str | None:
        if not self._runs_here:
            return None
        inputs = {"model": shipped, "source": self.source}
        if shipped != fp32:
            inputs["baseline"] = fp32
        regression = variant.budgets.regression
        allowed = regression.latency if regression else None
        step = MeasureLatency(
            self.build.family,
            takes=self._takes,
            tokens=self._timed_tokens(variant),
            threads=(1,) if self.smoke else TIMED_THREADS,
            limits=() if self.smoke else time_limits(variant, has_baseline=shipped != fp32),
            # How the previous build measured is not known here: half of what it may lose is seen.
            narrow=None if allowed is None or self.smoke else max(allowed - 1, 0.01) / 2,
            machine=self.machine,
        )
        return self.add(step, inputs, variant, "latency")

    def _memory(self, variant: Variant, shipped: str, fp32: str) -> dict[str, str]:
        if not self._runs_here:
            return {}
        tokens = self._timed_tokens(variant)
        step = MeasureFootprint(self.build.family, self._takes, tokens, self.machine)
        source = {"source": self.source}
        found = {
            "this file": self.add(step, {"model": shipped, **source}, variant, "footprint"),
            "pytorch": self.add(step, source, None, "footprint-pytorch"),
        }
        if shipped != fp32:
            found["fp32 graph"] = self.add(step, {"model": fp32, **source}, None, "footprint-fp32")
        return found

    def _without_vnni(self, variant: Variant, shipped: str) -> str | None:
        here = (self.build.target, self.build.provider) == OWN_PROVIDER_RUNS
        if not here or variant.precision not in EIGHT_BIT_PRODUCTS:
            return None
        inputs = {"model": shipped, "reference": self.reference}
        return self.add(MeasureWithoutVnni(self.machine), inputs, variant, "without-vnni")

    def _timed_tokens(self, variant: Variant) -> tuple[int, ...]:
        """Return the lengths that are timed: the usual, and those that a budget names."""
        longest = self.model.facts.longest
        named = {item.size for item in variant.budgets.speedup or () if item.size is not None}
        if longest is not None and any(size > longest for size in named):
            raise PlanError(
                f"a budget names {max(named)} {self._family.size_unit}, and the model takes "
                f"{longest} at most",
                where=f"{self.build.recipe}, variant {variant.name}",
                hint=f"name lengths up to {longest} in `speedup`",
            )
        usual = self._family.sizes[:1] if self.smoke else self._family.sizes
        return tuple(
            sorted({min(n, longest or n) for n in usual} | (set() if self.smoke else named))
        )

    def add(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str:
        """Add a step under a slot that says whose it is: all targets', or this target's."""
        parts = [self.build.recipe]
        if not stage.startswith(SHARED_STAGES):
            parts.append(self.build.attention if not self.build.passes else self.build.target)
        if variant is not None:
            parts.append(variant.name)
        elif stage == "compose":
            parts.append("fp32")
        # Where another target has other settings under this name, the name says whose it is.
        own = [self.build.recipe, self.build.target, *parts[1:], stage]
        return self.graph.add(step, inputs, "/".join([*parts, stage]), otherwise="/".join(own))


def _estimated(provider: str) -> str:
    """Return the provider whose pieces of a graph are estimated; "" where the CPU runs it all."""
    return "" if load_provider(provider).operators_of == "cpu" else provider


def time_limits(variant: Variant, *, has_baseline: bool) -> tuple[Limit, ...]:
    """Return the ceilings on time that a variant's measurement must be long enough to decide."""
    budgets = variant.budgets
    slowdown = budgets.slowdown if variant.speed == "gated" else None
    ceilings = (
        Limit("latency", "fp32 graph", slowdown) if slowdown else None,
        Limit("load", None, budgets.load_ms) if budgets.load_ms else None,
        Limit("load", "fp32 graph", budgets.load_ratio) if budgets.load_ratio else None,
    )
    floors = (
        Limit("latency", "pytorch", 1 / item.at_least, item.size, threads=1)
        for item in budgets.speedup or ()
    )
    return tuple(
        item
        for item in (*ceilings, *floors)
        if item is not None and (has_baseline or item.against != "fp32 graph")
    )
