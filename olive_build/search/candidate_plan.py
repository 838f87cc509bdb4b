"""The plan of one candidate: its graph, and its figures on the search's data."""

from __future__ import annotations

from dataclasses import dataclass

from olive_build.engine.graph import Graph, GraphBuilder
from olive_build.families import module_of
from olive_build.families.registry import FAMILIES
from olive_build.methods import Method
from olive_build.plan.planner import TargetPlanner
from olive_build.plan.types import Inspected
from olive_build.recipe.build import Budgets, Variant
from olive_build.steps.convert_ort import MODEL_NAME
from olive_build.steps.damage import MeasureDamage
from olive_build.steps.measuring import MeasureSpeed
from olive_build.steps.quality import MeasureQuality, RunReference
from olive_build.steps.reference import Reference
from olive_build.steps.samples import SplitSamples

# Inputs on which the damage of single layers is measured; the whole is judged on all.
DAMAGE_SAMPLES = 32


@dataclass(frozen=True)
class CandidatePlan:
    """The nodes of a candidate. `damage` is None for the fp32 graph."""

    graph: Graph
    shipped: str
    fp32_shipped: str
    quality: str
    speed: str
    damage: str | None


def plan_candidate(item: Inspected, method: Method | None) -> CandidatePlan:
    """Return the plan of one method for a build; None is the fp32 graph that it starts from.

    Quality is of the bare graph, on the half of the calibration data that no quantizer saw; size
    is of the file that would be shipped.
    """
    build, model = item.build, item.model
    graph = GraphBuilder()
    source = graph.leaf(model.folder, model.digest)
    calibration = graph.leaf(*item.samples["calibration"])
    judged = graph.add(SplitSamples("judge"), {"data": calibration}, f"{build.recipe}/judge")
    reference = graph.add(
        Reference(module_of(build.family, "torch_side"), dict(build.shapes).get("sequence_length")),
        {"source": source, "data": judged},
        f"{build.recipe}/judge-reference",
    )
    planner = TargetPlanner(
        graph, build, model, source, {"calibration": calibration}, reference, False
    )
    variant = (
        None if method is None else Variant("search", "int8", method, "gated", None, Budgets())
    )
    core, fp32 = planner.core(variant), planner.core(None)
    timed = {"model": core.node, "source": source}
    if variant is not None:
        timed["baseline"] = fp32.node
    inputs = {
        "reference": core.before,
        "model": core.node,
        "calibration": planner.calibration_inputs("judge"),
    }
    judge = {"model": core.node, "reference": reference}
    outputs = planner.add(RunReference(MODEL_NAME), judge, variant, "judge-outputs")
    speed = MeasureSpeed(
        module_of(build.family, "sample"),
        module_of(build.family, "torch_side"),
        takes=FAMILIES[build.family].takes[1],
        sizes=_sizes(item),
    )
    damage = MeasureDamage(DAMAGE_SAMPLES)
    nodes = {
        "shipped": planner.composed(variant, {"model": core.node})["model"],
        "fp32_shipped": planner.composed(None, {"model": fp32.node})["model"],
        "quality": planner.add(
            MeasureQuality(),
            {"outputs": outputs, "reference": reference},
            variant,
            "judge-quality",
        ),
        "speed": planner.add(speed, timed, variant, "judge-speed"),
    }
    layers = planner.add(damage, inputs, variant, "damage") if variant is not None else None
    return CandidatePlan(graph=graph.build(), **nodes, damage=layers)


def _sizes(item: Inspected) -> tuple[int, ...]:
    """Return the sizes that are timed: the family's, as far as the model takes them."""
    longest = item.model.facts.longest
    sizes = FAMILIES[item.build.family].sizes
    return tuple(sorted({min(size, longest or size) for size in sizes}))
