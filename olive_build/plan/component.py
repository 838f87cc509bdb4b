"""The steps of one component of a model, from its export to its quantized graph.

    export -> tied-weight -> fuse -> fix-shapes -> quantize

Most models are one component; others, such as speech recognizers, have several, each fused and
quantized by itself before they are joined: a quantizer does not see into what is joined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from olive_build.engine.graph import Step
from olive_build.errors import PlanError
from olive_build.families import FAMILIES
from olive_build.methods import Method, Quantized
from olive_build.methods.chain import Chain
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.steps.export import Export
from olive_build.steps.fix_shapes import FixShapes
from olive_build.steps.fuse import FuseAttention, FuseCachedAttention, SeparateProjection
from olive_build.steps.olive_pass import OlivePass
from olive_build.steps.simplify import SimplifyForCpu
from olive_build.steps.tied_weight import ShareTiedWeight
from olive_build.targets import load_provider


class AddStep(Protocol):
    """Adds a step to the plan for a variant (None: for all) and returns its node."""

    def __call__(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str: ...


@dataclass(frozen=True)
class ComponentPlanner:
    """Adds the steps of one component. `calibration` adds the inputs that quantizers learn from.

    What finds nothing to do in a `miniature` is left out there.
    """

    build: TargetBuild
    component: str
    facts: Any
    source: str
    add: AddStep
    calibration: Callable[[], str]
    miniature: bool = False

    def core(self, variant: Variant | None) -> Quantized:
        """Return the nodes of the graph itself, and of the fp32 graph with the same layers."""
        build = self.build
        export = Export(build.family, build.opset, self.component)
        node = self._step(export, {"source": self.source}, None, "export")
        if self._tied:
            node = self._step(ShareTiedWeight(), {"model": node}, None, "tied-weight")
        node = self.passes("after", "export", variant, node)
        node = self.passes("before", "fuse", variant, node)
        if self._attentions:
            node = self._fused_graph(variant, node)
        node = self.passes("after", "fuse", variant, node)
        if build.shapes:
            node = self._step(FixShapes(build.shapes), {"model": node}, None, "fix-shapes")
        node = self.passes("before", "quantize", variant, node)
        core = Quantized(node, node)
        if variant is not None and variant.quantize is not None:
            core = self._quantize(variant, variant.quantize, node)
        return Quantized(self.passes("after", "quantize", variant, core.node), core.before)

    def passes(self, placement: str, stage: str, variant: Variant | None, node: str) -> str:
        """Return the node after the recipe's own passes before or after a stage."""
        name = variant.name if variant else "fp32"
        for request in self.build.passes:
            if (request.placement, request.stage) != (placement, stage):
                continue
            if request.variants is None or name in request.variants:
                step = OlivePass(request.name, request.options)
                node = self._step(step, {"model": node}, variant, f"{stage}-{request.name}")
        return node

    @property
    def _tied(self) -> bool:
        """Whether the graph's last product reads the table of its words."""
        return self.component in getattr(self.facts, "tied_components", ())

    @property
    def _attentions(self) -> int:
        """How many attentions are fused: all of the graph's, or none."""
        known = getattr(self.facts, "fuses", True)
        if self.build.attention != "fused" or not self.facts.layers or not known:
            return 0
        several = len(FAMILIES[self.build.family].components) > 1
        found: int = self.facts.attentions(self.component) if several else self.facts.layers
        return found

    def _fused_graph(self, variant: Variant | None, node: str) -> str:
        """Return the node of the graph with attention fused, as the provider's kernels want it."""
        if getattr(self.facts, "cached", False):
            # Its projections stay apart, and rules for graphs without a cache know none.
            return self._step(FuseCachedAttention(self._attentions), {"model": node}, None, "fuse")
        node = self._step(FuseAttention(self._attentions), {"model": node}, None, "fuse")
        method = variant.quantize if variant else None
        on_cpu = self.build.provider == "cpu"
        if method.keeps_packed_attention if method else not on_cpu:
            return node
        node = self._step(SeparateProjection(), {"model": node}, None, "separate-projection")
        return self._step(SimplifyForCpu(), {"model": node}, None, "simplify") if on_cpu else node

    def _quantize(self, variant: Variant, method: Method, node: str) -> Quantized:
        def add(step: Step, inputs: Mapping[str, str], stage: str) -> str:
            return self._step(step, inputs, variant, stage)

        build = self.build
        several = len(FAMILIES[build.family].components) > 1
        chain = Chain(
            add,
            self._no_calibration if several else self.calibration,
            convolutional=self.facts.layers == 0,  # no attention in it
            mixed=several,
            tied=self._tied,
            miniature=self.miniature,
            by_default=variant.by_default,
            level=load_provider(build.provider).block_level,
        )
        return method.steps(chain, node)

    def _no_calibration(self) -> str:
        raise PlanError(
            f"{self.build.family} has no calibration inputs for its {self.component}",
            where=f"{self.build.recipe}, target {self.build.target}",
            why="methods that look at inner values are not built for models of several components",
            hint="use `dynamic-int8` without `smooth` and `rounding: gptq`, `weight-only` by rtn "
            "or k-quant, or `fp16`",
        )

    def _step(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str:
        several = len(FAMILIES[self.build.family].components) > 1
        return self.add(step, inputs, variant, f"{self.component}/{stage}" if several else stage)
