"""Measures candidates with the engine, which runs a step once for all candidates that share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import Any

from olive_build.engine.decide import Decisions
from olive_build.engine.events import Event
from olive_build.engine.run import ignore, run_graph
from olive_build.engine.store import Artifact, Store
from olive_build.methods import Method
from olive_build.plan.types import Inspected
from olive_build.search.candidate_plan import CandidatePlan, plan_candidate
from olive_build.search.search import CannotBuildError, LayerCost, OutOfTimeError
from olive_build.steps.damage import DAMAGE
from olive_build.steps.measuring import SPEED
from olive_build.steps.quality import QUALITY


@dataclass
class Evaluator:
    """Measures candidates of one build until `deadline` (time.monotonic); see search.Measures.

    What is in the store counts after the deadline too: it takes no time.
    """

    store: Store
    item: Inspected
    deadline: float
    jobs: int | None = None
    on_event: Callable[[Event], None] = ignore
    _plans: dict[Method | None, CandidatePlan] = field(default_factory=dict)

    def quality(self, method: Method | None) -> tuple[dict[str, Any], float, float]:
        plan = self._plan(method)
        found = self._run(plan, {plan.quality, plan.shipped, plan.fp32_shipped})
        size, fp32 = found[plan.shipped].size_bytes, found[plan.fp32_shipped].size_bytes
        return found[plan.quality].json(QUALITY), size / fp32, size / 1e6

    def speed(self, method: Method | None) -> dict[int, float]:
        plan = self._plan(method)
        rows = self._run(plan, {plan.speed})[plan.speed].json(SPEED)
        found: dict[int, list[float]] = {}
        for row in rows:
            ratio = next(iter(row["ratio_to"].values()))["median"]
            found.setdefault(row["tokens"], []).append(ratio)
        return {size: geometric_mean(ratios) for size, ratios in found.items()}

    def damage(self, method: Method) -> list[LayerCost]:
        plan = self._plan(method)
        assert plan.damage is not None
        layers = self._run(plan, {plan.damage})[plan.damage].json(DAMAGE)["layers"]
        return [
            LayerCost(item["node"], item["operator"], item["reference_bytes"], item["damage"])
            for item in layers
        ]

    def _plan(self, method: Method | None) -> CandidatePlan:
        if method not in self._plans:
            self._plans[method] = plan_candidate(self.item, method)
        return self._plans[method]

    def _run(self, plan: CandidatePlan, wanted: Collection[str]) -> Mapping[str, Artifact]:
        if time.monotonic() > self.deadline:
            self._require_stored(plan, wanted)
        outcomes = run_graph(
            plan.graph, self.store, jobs=self.jobs, wanted=set(wanted), on_event=self.on_event
        )
        for outcome in outcomes.values():
            if outcome.error:
                raise CannotBuildError(outcome.error)
        artifacts = {node: outcomes[node].artifact for node in wanted}
        return {node: artifact for node, artifact in artifacts.items() if artifact}

    def _require_stored(self, plan: CandidatePlan, wanted: Collection[str]) -> None:
        decisions = Decisions(plan.graph, self.store, wanted, False)
        decisions.settle()
        if not all(decisions.usable(node) for node in wanted):
            raise OutOfTimeError
