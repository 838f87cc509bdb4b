"""From resolved builds to their plan: what `plan`, `explain` and `build` begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from olive_build.engine.store import Store
from olive_build.inspect_model import Request, inspect_models
from olive_build.plan import Plan, make_plan
from olive_build.proof.machine import this_machine


def plan_builds(
    requests: Sequence[Request], store: Store, *, smoke: bool, report: Callable[[str], None]
) -> Plan:
    """Fetch and inspect the models of the requested builds and return their plan."""
    inspected = inspect_models(requests, store, smoke=smoke, report=report)
    return make_plan(inspected, this_machine().fingerprint, smoke=smoke)
