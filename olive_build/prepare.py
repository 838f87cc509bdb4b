"""From resolved builds to their plan: what `plan`, `explain` and `build` begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from olive_build.engine.store import Store
from olive_build.methods.auto import Auto
from olive_build.plan.inspecting import inspect_models
from olive_build.plan.planner import make_plan
from olive_build.plan.types import Plan, Request


def plan_builds(
    requests: Sequence[Request],
    store: Store,
    *,
    smoke: bool,
    report: Callable[[str], None],
    may_search: bool = False,
    jobs: int | None = None,
) -> Plan:
    """Fetch and inspect the models of the requested builds and return their plan.

    Methods that a recipe leaves to a search are searched where `may_search` is set, and taken from
    an earlier search otherwise; what was never searched is reported and left out. What the
    provider computes slowly is reported too.
    """
    inspected = inspect_models(requests, store, smoke=smoke, report=report)
    for build in (item.build for item in inspected):
        for variant in build.variants:
            if variant.slow:
                report(f"SLOW: {build.recipe}/{build.target}/{variant.name}: {variant.slow}")
    if any(isinstance(v.quantize, Auto) for item in inspected for v in item.build.variants):
        # Only here: the search knows all of the plan, and most recipes need none.
        from olive_build.search.resolve import with_searches, without_search

        inspected = [
            without_search(item)
            if smoke
            else with_searches(item, store, may_run=may_search, jobs=jobs, report=report)
            for item in inspected
        ]
    return make_plan(inspected, smoke=smoke)
