"""The steps that measure a shipped file where this machine is its target's kind: time, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from olive_build.errors import PlanError
from olive_build.families import module_of
from olive_build.families.facts import Facts
from olive_build.families.registry import FAMILIES
from olive_build.plan.component import AddStep
from olive_build.plan.types import LATENCY, MEMORY, WITHOUT_VNNI, Measurement, graph_inputs
from olive_build.proof.contestant import Several, TimeLimit
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.steps.measuring import MeasureFootprint, MeasureLatency
from olive_build.steps.quality import MeasureWithoutVnni
from olive_build.targets import load_target

# Files are timed on one core and on two, at the sizes of their family.
TIMED_THREADS = (1, 2)
# All timing of a target takes so long, unless a gate is open, and all repeated runs for memory.
TIMING_SECONDS, MEMORY_SECONDS = 45.0, 15.0
MEMORY_LIMITS = ("memory_mb", "memory_ratio")
# What multiplies 8 bits by 8 bits, for which x86 processors have two kinds of kernels.
EIGHT_BIT_PRODUCTS = ("int8", "w8a8")


@dataclass(frozen=True)
class MeasuringPlanner:
    """Adds the steps that time a variant's files, take their memory, and run one as without VNNI.

    `beside` are the model's folder and the graphs that several files are run between. With `smoke`
    nothing is timed: a miniature's time says nothing of the model's.
    """

    build: TargetBuild
    facts: Facts
    beside: Mapping[str, str]
    reference: str
    smoke: bool
    add: AddStep

    def measured(
        self, variant: Variant, shipped: Mapping[str, str], fp32: Mapping[str, str]
    ) -> Iterator[Measurement]:
        """Yield what is measured of a variant's files together where their provider runs here."""
        if self._runs_here:
            yield Measurement(LATENCY, self._latency(variant, shipped, fp32))
            for candidate, node in self._memory(variant, shipped, fp32).items():
                yield Measurement(MEMORY, node, candidate)
        if self._is_run_without_vnni(variant):
            inputs = {**graph_inputs("model", shipped), "reference": self.reference}
            step = MeasureWithoutVnni()
            yield Measurement(WITHOUT_VNNI, self.add(step, inputs, variant, "without-vnni"))

    def _latency(
        self, variant: Variant, shipped: Mapping[str, str], fp32: Mapping[str, str]
    ) -> str:
        """Return the node that times the files against PyTorch and the fp32 graphs."""
        inputs = {**graph_inputs("model", shipped), **self.beside}
        if shipped != fp32:
            inputs |= graph_inputs("baseline", fp32)
        regression = variant.budgets.regression
        allowed = regression.latency if regression else None
        step = MeasureLatency(
            *self._modules,
            unit=FAMILIES[self.build.family].size_unit,
            several=self._several,
            takes=self._takes,
            tokens=self._timed_tokens(variant),
            threads=TIMED_THREADS,
            limits=time_limits(variant, has_baseline=shipped != fp32),
            # How the previous build measured is not known here: half of what it may lose is seen.
            narrow=None if allowed is None else max(allowed - 1, 0.01) / 2,
            seconds=TIMING_SECONDS / len(self.build.variants),
        )
        return self.add(step, inputs, variant, "latency")

    def _memory(
        self, variant: Variant, shipped: Mapping[str, str], fp32: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the nodes that take the peak memory, by candidate."""
        tokens, seconds = self._timed_tokens(variant), self._memory_seconds
        step = MeasureFootprint(*self._modules, self._takes, self._several, tokens, seconds)
        files = {**graph_inputs("model", shipped), **self.beside}
        alone = replace(step, several=None, seconds=None)
        source = {"source": self.beside["source"]}
        found = {
            "this file": self.add(step, files, variant, "footprint"),
            "pytorch": self.add(alone, source, None, "footprint-pytorch"),
        }
        if shipped != fp32:
            inputs = {**graph_inputs("model", fp32), **self.beside}
            found["fp32 graph"] = self.add(step, inputs, None, "footprint-fp32")
        return found

    def _is_run_without_vnni(self, variant: Variant) -> bool:
        """Return whether quality is measured as on a CPU without VNNI, where that matters."""
        here = load_target(self.build.target).runs_here(self.build.provider)
        if not here or variant.precision not in EIGHT_BIT_PRODUCTS:
            return False
        family = FAMILIES[self.build.family]
        searches = self.build.compose == "single-file" and not family.searches
        # The emulation does not rewrite the graphs inside a search operator.
        return len(self.facts.components) == 1 and not searches

    @property
    def _runs_here(self) -> bool:
        build = self.build
        here = load_target(build.target).runs_here(build.provider)
        return here and build.timing and not self.smoke

    @property
    def _memory_seconds(self) -> float | None:
        """How long the runs of a file for memory are repeated; None where memory has a limit.

        Each variant's file and the fp32 graph have a share; PyTorch is run once all the same.
        """
        budgets = [variant.budgets for variant in self.build.variants]
        limited = any(
            (item.regression is not None and item.regression.memory is not None)
            or any(item.limit(name) is not None for name in MEMORY_LIMITS)
            for item in budgets
        )
        return None if limited else MEMORY_SECONDS / (len(budgets) + 1)

    @property
    def _several(self) -> Several | None:
        """How a layout of several files is run as one; None for a single file."""
        family, build = FAMILIES[self.build.family], self.build
        if set(self.beside) == {"source"}:
            return None
        return Several(module_of(build.family, "session"), family.parts, build.options)

    @property
    def _modules(self) -> tuple[str, str]:
        """The family's modules that give a file its samples and load the model in PyTorch."""
        family = self.build.family
        return module_of(family, "sample"), module_of(family, "torch_side")

    @property
    def _takes(self) -> str:
        composed, bare = FAMILIES[self.build.family].takes
        whole = self.build.compose == "single-file" or self._several
        return composed if whole else bare

    def _timed_tokens(self, variant: Variant) -> tuple[int, ...]:
        """Return the sizes that are timed: the usual, and those that a budget names."""
        family, longest = FAMILIES[self.build.family], self.facts.longest
        named = {item.size for item in variant.budgets.speedup or () if item.size is not None}
        if longest is not None and any(size > longest for size in named):
            raise PlanError(
                f"a budget names {max(named)} {family.size_unit}, and the model takes "
                f"{longest} at most",
                where=f"{self.build.recipe}, variant {variant.name}",
                hint=f"name lengths up to {longest} in `speedup`",
            )
        return tuple(sorted({min(n, longest or n) for n in family.sizes} | named))


def time_limits(variant: Variant, *, has_baseline: bool) -> tuple[TimeLimit, ...]:
    """Return the ceilings on time that a variant's measurement must be long enough to decide."""
    budgets = variant.budgets
    slowdown = budgets.limit("slowdown") if variant.speed == "gated" else None
    ceilings = (
        TimeLimit("latency", "fp32 graph", slowdown) if slowdown else None,
        TimeLimit("load", None, load) if (load := budgets.limit("load_ms")) else None,
        TimeLimit("load", "fp32 graph", ratio) if (ratio := budgets.limit("load_ratio")) else None,
    )
    floors = (
        TimeLimit("latency", "pytorch", 1 / item.at_least, item.size, threads=1)
        for item in budgets.speedup or ()
    )
    return tuple(
        item
        for item in (*ceilings, *floors)
        if item is not None and (has_baseline or item.against != "fp32 graph")
    )
