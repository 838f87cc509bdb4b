"""The steps of one component of a model, from its export to its quantized graph.

    export -> tied-weight -> fuse -> fix-shapes -> quantize

Most models are one component; others, such as speech recognizers, have several, each fused and
quantized by itself before they are joined: a quantizer does not see into what is joined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from olive_build.engine.step import Step
from olive_build.families import module_of
from olive_build.families.facts import Component
from olive_build.families.registry import FAMILIES
from olive_build.methods import Method, Quantized
from olive_build.methods._chain import Chain
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.steps.export import Export, ExportByLadder
from olive_build.steps.fix_shapes import FixShapes
from olive_build.steps.fuse import (
    FuseAttention,
    FuseCachedAttention,
    FuseKnownAttention,
    SeparateProjection,
    ShareTiedWeight,
    SimplifyForCpu,
)
from olive_build.steps.olive_pass import OlivePass
from olive_build.targets import load_provider


class AddStep(Protocol):
    """Adds a step to the plan for a variant (None: for all) and returns its node."""

    def __call__(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str: ...


@dataclass(frozen=True)
class ComponentPlanner:
    """Adds the steps of one component. `calibration` adds the inputs that quantizers learn from.

    With `several`, its slots are named after it. What finds nothing to do in a `miniature` is left
    out there.
    """

    build: TargetBuild
    component: Component
    several: bool
    source: str
    add: AddStep
    calibration: Callable[[], str]
    miniature: bool = False

    def core(self, variant: Variant | None) -> Quantized:
        """Return the nodes of the graph itself, and of the fp32 graph with the same layers."""
        settings = self.build.component(self.component.name)
        node = self.exported()
        if self.component.tied:
            node = self._step(ShareTiedWeight(), {"model": node}, None, "tied-weight")
        node = self.passes("after", "export", variant, node)
        node = self.passes("before", "fuse", variant, node)
        if settings.attention == "fused" and self.component.attentions != 0:
            node = self._fused_graph(variant, node, settings.attention_asked)
        node = self.passes("after", "fuse", variant, node)
        if settings.shapes:
            node = self._step(FixShapes(settings.shapes), {"model": node}, None, "fix-shapes")
        node = self.passes("before", "quantize", variant, node)
        core = Quantized(node, node)
        if (made := self._made(variant)) is not None and variant is not None:
            core = self._quantize(variant, made, node)
        return Quantized(self.passes("after", "quantize", variant, core.node), core.before)

    def exported(self) -> str:
        """Return the node of the graph as it comes from PyTorch."""
        side = module_of(self.build.family, "torch_side")
        opset = self.build.component(self.component.name).opset
        generic = FAMILIES[self.build.family].generic
        step: Step = Export(side, opset, self.component.name)
        if generic:
            step = ExportByLadder(side, opset)
        return self._step(step, {"source": self.source}, None, "export")

    def passes(self, placement: str, stage: str, variant: Variant | None, node: str) -> str:
        """Return the node after the recipe's own passes before or after a stage."""
        name = variant.name if variant else "fp32"
        for request in self.build.passes:
            if (request.placement, request.stage) != (placement, stage):
                continue
            if request.component not in (None, self.component.name):
                continue
            if request.variants is None or name in request.variants:
                step = OlivePass(request.name, request.options)
                node = self._step(step, {"model": node}, variant, f"{stage}-{request.name}")
        return node

    def _fused_graph(self, variant: Variant | None, node: str, asked: bool) -> str:
        """Return the node of the graph with attention fused, as the provider's kernels want it."""
        attentions = self.component.attentions
        if self.component.cached:
            # Its projections stay apart, and rules for graphs without a cache know none.
            fuse = FuseCachedAttention(attentions or 0, asked)
            return self._step(fuse, {"model": node}, None, "fuse")
        known = attentions is not None
        fusing: Step = FuseAttention(attentions) if attentions else FuseKnownAttention()
        node = self._step(fusing, {"model": node}, None, "fuse")
        method = self._made(variant)
        on_cpu = self.build.provider == "cpu"
        if method.keeps_packed_attention if method else not on_cpu:
            return node
        node = self._step(SeparateProjection(known), {"model": node}, None, "separate-projection")
        return self._step(SimplifyForCpu(), {"model": node}, None, "simplify") if on_cpu else node

    def _made(self, variant: Variant | None) -> Method | None:
        """Return the method by which a variant makes the component smaller."""
        return variant.of(self.component.name).quantize if variant else None

    def _quantize(self, variant: Variant, method: Method, node: str) -> Quantized:
        def add(step: Step, inputs: Mapping[str, str], stage: str) -> str:
            return self._step(step, inputs, variant, stage)

        build = self.build
        chain = Chain(
            add,
            self.calibration,
            convolutional=self.component.convolutional,
            mixed=self.component.weights == "both",
            tied=self.component.tied,
            miniature=self.miniature,
            by_default=variant.of(self.component.name).by_default,
            level=load_provider(build.provider).block_level,
        )
        return method.steps(chain, node)

    def _step(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str:
        name = f"{self.component.name}/{stage}" if self.several else stage
        return self.add(step, inputs, variant, name)
