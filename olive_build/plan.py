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
from olive_build.quantizers.dynamic_int8 import QuantizeDynamicInt8
from olive_build.quantizers.fp16 import ConvertToFp16
from olive_build.quantizers.weight_only import QuantizeWeights
from olive_build.recipe.build import DynamicInt8, Fp16, TargetBuild, Variant, WeightOnly
from olive_build.steps.compose import BuildTokenizer, Compose
from olive_build.steps.convert_ort import MODEL_NAME, ORT_MODEL, ConvertToOrt
from olive_build.steps.describe import Describe
from olive_build.steps.export import Export
from olive_build.steps.fuse import FuseAttention, PerTokenScale, SeparateProjection
from olive_build.steps.latency import MeasureLatency
from olive_build.steps.olive_pass import OlivePass
from olive_build.steps.quality import MeasureQuality
from olive_build.steps.reference import Reference
from olive_build.targets import load_provider

# What is timed, in tokens and threads: a short query and a paragraph, on one core and on two.
TIMED_TOKENS = (16, 128)
TIMED_THREADS = (1, 2)
# Where this machine is the target's kind: only there a file is run by its own provider and timed.
OWN_PROVIDER_RUNS = ("desktop", "cpu")


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


@dataclass(frozen=True)
class BundlePlan:
    """One target's bundle: its variants and the references that it is proved on."""

    build: TargetBuild
    model: Model
    reference: str
    variants: tuple[VariantPlan, ...]

    def nodes(self) -> set[str]:
        """Return every node that the bundle is made of or proved by."""
        found = {self.reference}
        for item in self.variants:
            found |= {item.model, item.fp32, item.description, *item.quality.values()}
            found |= {node for node in (item.ort, item.latency) if node}
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
            Reference(build.family),
            {"source": source, "data": graph.leaf(item.data, item.data_digest)},
            f"{build.recipe}/reference",
        )
        planner = _TargetPlanner(graph, build, model, source, reference, machine, smoke)
        variants = tuple(planner.variant(variant) for variant in build.variants)
        bundles.append(BundlePlan(build, model, reference, variants))
    return Plan(graph.build(), tuple(bundles))


@dataclass
class _TargetPlanner:
    graph: GraphBuilder
    build: TargetBuild
    model: Model
    source: str
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
            description=self._add(
                Describe(mobile=build.layout == "mobile"),
                {"model": shipped},
                variant,
                "describe",
            ),
            quality={
                form: self._add(
                    MeasureQuality(file, self.machine),
                    {"model": node, "reference": self.reference},
                    variant,
                    f"quality-{form}",
                )
                for form, (node, file) in files.items()
            },
            latency=self._latency(variant, shipped, fp32),
        )

    def _graph_of(self, variant: Variant | None) -> str:
        """Return the node of a variant's shipped graph; None gives the fp32 graph it came from."""
        build, facts = self.build, self.model.facts
        node = self._add(Export(build.family, build.opset), {"source": self.source}, None, "export")
        node = self._passes("after", "export", variant, node)
        node = self._passes("before", "fuse", variant, node)
        if build.attention == "fused":
            node = self._add(FuseAttention(facts.layers), {"model": node}, None, "fuse")
        node = self._passes("after", "fuse", variant, node)
        node = self._passes("before", "quantize", variant, node)
        if variant is not None and variant.quantize is not None:
            node = self._quantize(variant, node)
        node = self._passes("after", "quantize", variant, node)
        node = self._passes("before", "compose", variant, node)
        if build.compose == "single-file":
            step = BuildTokenizer(build.family, build.opset)
            tokenizer = self._add(step, {"source": self.source}, None, "tokenizer")
            inputs = {"model": node, "tokenizer": tokenizer, "source": self.source}
            node = self._add(Compose(build.family), inputs, variant, "compose")
        return self._passes("after", "compose", variant, node)

    def _quantize(self, variant: Variant, node: str) -> str:
        method = variant.quantize
        if self.build.attention == "fused" and not isinstance(method, Fp16):
            node = self._add(SeparateProjection(), {"model": node}, None, "separate-projection")
        if isinstance(method, DynamicInt8) and method.per_token != "none":
            scale = PerTokenScale(method.per_token == "after-activations")
            node = self._add(scale, {"model": node}, None, "per-token-scale")
        return self._add(_quantizer(method), {"model": node}, variant, "quantize")

    def _passes(self, placement: str, stage: str, variant: Variant | None, node: str) -> str:
        name = variant.name if variant else "fp32"
        for request in self.build.passes:
            if (request.placement, request.stage) != (placement, stage):
                continue
            if request.variants is None or name in request.variants:
                step = OlivePass(request.name, request.options)
                node = self._add(step, {"model": node}, variant, f"{stage}-{request.name}")
        return node

    def _ort(self, variant: Variant, shipped: str) -> str:
        # What the provider runs itself must stay as it is in the file; what falls to the CPU
        # anyway is better off with the CPU's optimizations baked in.
        own = variant.precision in load_provider(self.build.provider).precisions
        own = own and self.build.provider != "cpu"
        step = ConvertToOrt("runtime" if own else "fixed")
        return self._add(step, {"model": shipped}, variant, "convert-ort")

    def _latency(self, variant: Variant, shipped: str, fp32: str) -> str | None:
        build = self.build
        own = (build.target, build.provider) == OWN_PROVIDER_RUNS
        if not (own and build.timing) or shipped == fp32:
            return None
        tokens, threads = (TIMED_TOKENS, TIMED_THREADS) if not self.smoke else ((16,), (1,))
        tokens = tuple(sorted({min(n, self.model.facts.max_length) for n in tokens}))
        return self._add(
            MeasureLatency(
                build.family,
                takes="text" if build.compose == "single-file" else "tokens",
                tokens=tokens,
                threads=threads,
                machine=self.machine,
            ),
            {"model": shipped, "baseline": fp32, "source": self.source},
            variant,
            "latency",
        )

    def _add(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str:
        """Add a step under a slot that says whose it is: all targets', or this target's."""
        parts = [self.build.recipe]
        if stage not in ("export", "tokenizer"):
            parts.append(self.build.attention if not self.build.passes else self.build.target)
        if variant is not None:
            parts.append(variant.name)
        elif stage == "compose":
            parts.append("fp32")
        # Where another target has other settings under this name, the name says whose it is.
        own = [self.build.recipe, self.build.target, *parts[1:], stage]
        return self.graph.add(step, inputs, "/".join([*parts, stage]), otherwise="/".join(own))


def _quantizer(method: DynamicInt8 | WeightOnly | Fp16 | None) -> Step:
    match method:
        case DynamicInt8():
            return QuantizeDynamicInt8(
                per_channel=method.per_channel,
                weight_type=method.weight_type,
                reduce_range=method.reduce_range,
                operators=method.operators,
                exclude=method.exclude,
            )
        case WeightOnly():
            return QuantizeWeights(
                algorithm=method.algorithm,
                bits=method.bits,
                block_size=method.block_size,
                symmetric=method.symmetric,
                accuracy_level=method.accuracy_level,
                embeddings=method.embeddings,
                exclude=method.exclude,
            )
        case Fp16():
            return ConvertToFp16(method.keep_io_types, method.exclude_operators)
    raise PlanError(f"no step for the method {method!r}")
