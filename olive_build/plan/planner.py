"""Resolved builds -> one graph of steps. The only place where recipes and steps meet. Pure.

    export -> fuse -> quantize -> compose -> convert -> describe, quality, latency

A recipe's own passes stand before or after these stages. Equal steps of different targets and
variants are one node, so work that targets share is done once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from olive_build import rooms
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.step import Step
from olive_build.errors import PlanError
from olive_build.families import module_of
from olive_build.families.facts import SINGLE, Asked, Component, Facts
from olive_build.families.registry import FAMILIES, Family
from olive_build.methods import Quantized
from olive_build.plan.component import ComponentPlanner
from olive_build.plan.measured import MeasuringPlanner
from olive_build.plan.types import (
    DESCRIPTION,
    QUALITY,
    BundlePlan,
    Inspected,
    Measurement,
    Model,
    Plan,
    Samples,
    VariantPlan,
    graph_inputs,
)
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.steps.compose import BuildPart, Compose, GiveEmbedding, Join
from olive_build.steps.convert_ort import MODEL_NAME, ORT_MODEL, ConvertToOrt
from olive_build.steps.describe import Describe
from olive_build.steps.quality import MeasureQuality, RunReference
from olive_build.steps.reference import Reference
from olive_build.steps.samples import CalibrationInputs, SplitSamples
from olive_build.steps.source import LoadCheck, tokenizer_files
from olive_build.targets import Target, asking, load_language, load_provider, load_target

# What all targets of a recipe share, whatever their graphs are like.
SHARED_STAGES = (
    "export", "tied-weight", "samples", "calibration",
    "client-tokenizer", "tokenizer", "audio", "detokenizer",
)  # fmt: skip


def planner_of(build: TargetBuild) -> type[TargetPlanner]:
    """Return what plans a build: that of the section which decides what is built, if one does."""
    found: type[TargetPlanner] = TargetPlanner
    if owner := build.owner:
        found = rooms.look_up(f"{owner.room}.planning").Planner
    return found


def make_plan(inspected: Sequence[Inspected], *, smoke: bool = False) -> Plan:
    """Return the plan of builds whose models were inspected.

    With `smoke` nothing is timed, and the other steps are the same. Raises PlanError when a build
    cannot be planned.
    """
    graph = GraphBuilder()
    bundles = tuple(_bundle(graph, item, smoke=smoke) for item in inspected)
    return Plan(graph.build(), bundles)


def asked_of(build: TargetBuild) -> Asked:
    """Return what a build asks of its model besides its graphs."""
    where = f"recipe {build.recipe}, target {build.target}"
    language = planner_of(build).language(load_target(build.target))
    return Asked(where, build.layout, build.compose, dict(build.options), language)


def _bundle(graph: GraphBuilder, item: Inspected, *, smoke: bool) -> BundlePlan:
    build, model, kind = item.build, item.model, planner_of(item.build)
    asked = asked_of(build)
    # The README's code has to ask for the provider.
    asking(load_language(asked.language), load_provider(build.provider), asked.where)
    model.facts.check(Path(model.folder), asked)
    _check_components(build, model.facts, asked.where)
    source = graph.leaf(model.folder, model.digest)
    leaves = {name: graph.leaf(*tree) for name, tree in item.samples.items()}
    step, read = kind.reference_step(build)
    reference = graph.add(
        step,
        {"source": source, **{name: leaves[name] for name in read}},
        f"{build.recipe}/reference",
        otherwise=f"{build.recipe}/{build.target}/reference",
    )
    planner = kind(graph, build, model, source, leaves, reference, smoke)
    beside = planner.beside()
    variants = tuple(planner.variant(variant) for variant in build.variants)
    several = any(SINGLE not in planned.graphs for planned in variants)
    parts = planner.parts() if several else {}
    tokenizer = None
    if build.compose != "single-file" and (files := tokenizer_files(model.facts)):
        tokenizer = planner.add(files, {"source": source}, None, "client-tokenizer")
    searches = dict(item.searches)
    return BundlePlan(build, model, reference, variants, searches, parts, beside, tokenizer)


def _check_components(build: TargetBuild, facts: Facts, where: str) -> None:
    """Raise PlanError where a recipe says something of a component that the model lacks."""
    names = [item.name for item in facts.components]
    for name in sorted(build.named_components - set(names)):
        raise PlanError(
            f"the model has no component '{name}'",
            where=where,
            why=f"it is a {facts.architecture} with {', '.join(names)}",
            hint="correct or remove it under `components`",
        )


@dataclass
class TargetPlanner:
    """Adds the steps of one target to a graph; nodes that targets share are added once.

    What an `Owner` has built in place of variants for inference is planned by a kind of its own, in
    its room's `planning`. `leaves` are the samples' nodes by name.
    """

    graph: GraphBuilder
    build: TargetBuild
    model: Model
    source: str
    leaves: Mapping[str, str]
    reference: str
    smoke: bool

    @classmethod
    def language(cls, target: Target) -> str:
        """Return the language of the README's code."""
        return target.language

    @classmethod
    def facts(cls, build: TargetBuild, folder: Path) -> Facts:
        """Return what the model in `folder` is. Raises PlanError for one of another kind."""
        return FAMILIES[build.family].inspect(folder)

    @classmethod
    def miniature(cls, build: TargetBuild) -> tuple[str, bool]:
        """Return the module that writes a miniature, and whether that is of the recipe's model."""
        return module_of(build.family, "miniature"), FAMILIES[build.family].generic

    @classmethod
    def load_check(cls, build: TargetBuild) -> LoadCheck:
        """Return the step that loads the model once before anything is planned."""
        return LoadCheck(module_of(build.family, "torch_side"))

    @classmethod
    def model_checks(cls, build: TargetBuild) -> Mapping[str, Step]:
        """Return, by stage, what else looks into the model before anything is planned."""
        return {}

    @classmethod
    def samples(cls, build: TargetBuild) -> Iterator[Samples]:
        """Yield what is read beside the model."""
        yield Samples("data", "the proof's data", build.data)
        yield Samples("calibration", "the calibration data", build.calibration)

    @classmethod
    def reference_step(cls, build: TargetBuild) -> tuple[Step, tuple[str, ...]]:
        """Return what bundles are proved on, and the samples that it reads beside the model."""
        length = dict(build.shapes).get("sequence_length")
        return Reference(module_of(build.family, "torch_side"), length, build.options), ("data",)

    @property
    def formats(self) -> tuple[str, ...]:
        """The forms in which variants are shipped."""
        return self.build.formats

    def beside(self) -> dict[str, str]:
        """Return the nodes that the bundle is made of or proved by beside its variants, by name."""
        return {}

    def variant(self, variant: Variant) -> VariantPlan:
        shipped, fp32 = self.graphs_of(variant), self.graphs_of(None)
        compared = None if shipped == fp32 else fp32
        one = shipped.get(SINGLE)
        ort = self._ort(variant, one) if one and "ort" in self.formats else None
        files = {"onnx": (shipped, MODEL_NAME)} if "onnx" in self.formats else {}
        if ort:
            files["ort"] = ({SINGLE: ort}, ORT_MODEL)
        return VariantPlan(
            variant=variant,
            formats=self.formats,
            graphs=shipped,
            fp32_graphs=fp32,
            ort=ort,
            measured=(
                *(
                    Measurement(DESCRIPTION, self._described(variant, name, node), name)
                    for name, node in shipped.items()
                ),
                *(
                    Measurement(QUALITY, self._quality(variant, form, nodes, file, compared), form)
                    for form, (nodes, file) in files.items()
                ),
                *self._measuring(shipped).measured(variant, shipped, fp32),
            ),
        )

    def _measuring(self, shipped: Mapping[str, str]) -> MeasuringPlanner:
        """Return what times files and takes their memory; several are run between the parts."""
        beside = {"source": self.source} | ({} if SINGLE in shipped else self.parts())
        facts, reference = self.model.facts, self.reference
        return MeasuringPlanner(self.build, facts, beside, reference, self.smoke, self.add)

    def _quality(
        self,
        variant: Variant,
        form: str,
        graphs: Mapping[str, str],
        file: str,
        fp32: Mapping[str, str] | None,
    ) -> str:
        """Return the node that compares a form of the variant with PyTorch and its fp32 graph."""
        inputs = {"reference": self.reference}
        stage = f"outputs-{form}"
        inputs["outputs"] = self._outputs(variant if fp32 else None, stage, graphs, file)
        if fp32:
            inputs["baseline"] = self._outputs(None, "outputs-onnx", fp32, MODEL_NAME)
        return self.add(MeasureQuality(), inputs, variant, f"quality-{form}")

    def _outputs(
        self, variant: Variant | None, stage: str, graphs: Mapping[str, str], file: str
    ) -> str:
        inputs = {"reference": self.reference, **graph_inputs("model", graphs)}
        step = RunReference(file)
        if SINGLE not in graphs:
            parts = self.parts()
            inputs |= {"source": self.source, **parts}
            session = module_of(self.build.family, "session")
            step = RunReference(file, session, tuple(parts), self.build.options)
        if self._family.hides_steps and self.build.compose == "single-file":
            inputs["step"] = self.core(variant).node
        return self.add(step, inputs, variant, stage)

    def graphs_of(self, variant: Variant | None) -> dict[str, str]:
        """Return the nodes of a variant's shipped graphs; None gives the fp32 ones."""
        cores = {item.name: self.core(variant, item).node for item in self.model.facts.components}
        return self.composed(variant, cores)

    def _described(self, variant: Variant, name: str, node: str) -> str:
        step = Describe(self.build.layout == "mobile", _estimated(self.build.provider))
        stage = "describe" if name == SINGLE else f"{name}/describe"
        return self.add(step, {"model": node}, variant, stage)

    def core(self, variant: Variant | None, component: Component | None = None) -> Quantized:
        """Return the nodes of a component (None: the first), and of its fp32 graph."""
        return self._component(component or self.model.facts.components[0]).core(variant)

    def composed(self, variant: Variant | None, nodes: Mapping[str, str]) -> dict[str, str]:
        """Return the nodes of what is shipped by file, of components that are `nodes`."""
        build = self.build
        nodes = {
            name: self._component(Component(name)).passes("before", "compose", variant, node)
            for name, node in nodes.items()
        }
        if build.compose == "single-file":
            inputs = {**nodes, **self.parts(), "source": self.source}
            step = Compose(self._compose, build.options)
            shipped = {"model": self.add(step, inputs, variant, "compose")}
        elif len(nodes) > 1:
            shipped = {
                file: self._joined(variant, file, {name: nodes[name] for name in components})
                for file, components in self._files(nodes).items()
            }
        elif self.model.facts.embeds:
            inputs = {**nodes, "source": self.source}
            giving = GiveEmbedding(self._compose)
            shipped = {"model": self.add(giving, inputs, variant, "embedding")}
        else:
            shipped = dict(nodes)
        return {
            name: self._component(Component(name)).passes("after", "compose", variant, node)
            for name, node in shipped.items()
        }

    def parts(self) -> dict[str, str]:
        """Return the graphs of pre- and post-processing that a single file has in it."""
        build, source = self.build, {"source": self.source}
        return {
            name: self.add(
                BuildPart(self._compose, name, build.opset, build.options), source, None, name
            )
            for name in self._family.parts
        }

    def _files(self, components: Iterable[str]) -> Mapping[str, Iterable[str]]:
        """Return the files of a split layout, each with the components that are joined in it."""
        return self._family.files or {name: (name,) for name in components}

    def _joined(self, variant: Variant | None, file: str, nodes: Mapping[str, str]) -> str:
        if len(nodes) == 1:
            return next(iter(nodes.values()))
        step = Join(self._compose, file)
        return self.add(step, {**nodes, "source": self.source}, variant, f"{file}/join")

    def _component(self, component: Component) -> ComponentPlanner:
        model = self.model
        return ComponentPlanner(
            self.build,
            component,
            len(model.facts.components) > 1,
            self.source,
            self.add,
            lambda: self.calibration_inputs("learn", component),
            model.miniature,
        )

    def calibration_inputs(self, part: str, component: Component | None = None) -> str:
        """Return the node of a component's inputs (None: the only one's) on a part of the data.

        Quantizers learn from `learn`, a search judges on `judge`.
        """
        data = self.add(
            SplitSamples(part), {"data": self.leaves["calibration"]}, None, f"samples-{part}"
        )
        inputs = {"source": self.source, "data": data}
        room = module_of(self.build.family, "calibration")
        components = {item.name: item for item in self.model.facts.components}
        if component is None or len(components) == 1:
            (name,) = components
            step = CalibrationInputs(room, self.build.component(name).shapes)
            return self.add(step, inputs, None, f"calibration-{part}")
        inputs |= {name: self._component(components[name]).exported() for name in component.fed_by}
        shapes = self.build.component(component.name).shapes
        step = CalibrationInputs(room, shapes, component.name, self.build.options)
        return self.add(step, inputs, None, f"{component.name}/calibration-{part}")

    def _ort(self, variant: Variant, shipped: str) -> str:
        # What the provider runs itself must stay as it is in the file; what falls to the CPU
        # anyway is better off with the CPU's optimizations baked in.
        own = variant.precision in load_provider(self.build.provider).precisions
        own = own and self.build.provider != "cpu"
        step = ConvertToOrt("runtime" if own else "fixed")
        return self.add(step, {"model": shipped}, variant, "convert-ort")

    @property
    def _compose(self) -> str:
        """The family's module that builds, joins and composes graphs."""
        return module_of(self.build.family, "compose")

    @property
    def _family(self) -> Family:
        return FAMILIES[self.build.family]

    def add(
        self, step: Step, inputs: Mapping[str, str], variant: Variant | None, stage: str
    ) -> str:
        """Add a step under a slot that says whose it is: all targets', or this target's."""
        parts = [self.build.recipe]
        if not stage.rpartition("/")[2].startswith(SHARED_STAGES):
            parts.append(self.build.attention if not self.build.passes else self.build.target)
        if variant is not None:
            parts.append(variant.name)
        elif stage == "compose" or stage.startswith("outputs"):
            parts.append("fp32")
        # Where another target has other settings under this name, the name says whose it is.
        own = [self.build.recipe, self.build.target, *parts[1:], stage]
        return self.graph.add(step, inputs, "/".join([*parts, stage]), otherwise="/".join(own))


def _estimated(provider: str) -> str:
    """Return the provider whose pieces of a graph are estimated; "" where the CPU runs it all."""
    return "" if load_provider(provider).operators_of == "cpu" else provider
