"""`quantize: auto` -> a method of the recipe language, found once and remembered.

What a search chose is kept beside the store under everything that it depends on: the next build
asks no candidate again, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from olive_build.engine.fingerprint import describe, digest_of, from_fields, to_fields
from olive_build.engine.machine import this_machine
from olive_build.engine.store import Store
from olive_build.engine.trees import write_atomically
from olive_build.errors import PlanError
from olive_build.methods import Ladder, Method, ladders_for, methods, precision_of
from olive_build.methods.auto import Auto
from olive_build.plan.types import Inspected
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.search.candidate_plan import plan_candidate
from olive_build.search.evaluate import Evaluator
from olive_build.search.goal import Goal
from olive_build.search.search import Attempt, Searcher
from olive_build.targets import load_provider

# Raised when the search itself comes to choose otherwise from the same figures.
VERSION = 6
Report = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What a search chose, and all that it measured, as JSON values for reports."""

    method: Method
    holds: bool
    summary: str
    candidates: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        fields = {"$type": type(self.method).__name__, **to_fields(self.method)}
        return {
            "method": fields,
            "holds": self.holds,
            "summary": self.summary,
            "candidates": list(self.candidates),
        }


def with_searches(
    item: Inspected, store: Store, *, may_run: bool, jobs: int | None, report: Report
) -> Inspected:
    """Return the build with each `auto` replaced by what its search chose.

    Where `may_run` is false and a search was never run, its variant is left out and reported.
    Raises PlanError when no method can be built, or too little is known to search at all.
    """
    variants = []
    searches = dict(item.searches)
    for variant in item.build.variants:
        if not isinstance(variant.quantize, Auto):
            variants.append(variant)
            continue
        decision = _decided(item, variant, store)
        if decision is None and not may_run:
            minutes = f"{variant.quantize.max_minutes:g} minutes"
            report(f"{_where(item.build, variant)}: searched when it is built, up to {minutes}")
            continue
        if decision is None:
            decision = _search(item, variant, store, jobs, report)
        report(f"{_where(item.build, variant)}: {decision.summary}")
        searches[variant.name] = json.dumps(decision.as_json(), sort_keys=True)
        method = decision.method
        variants.append(_chosen(variant, method))
    build = replace(item.build, variants=tuple(variants))
    return replace(item, build=build, searches=tuple(sorted(searches.items())))


def without_search(item: Inspected) -> Inspected:
    """Return the build of a miniature, with the method that runs most kinds of steps.

    Fidelity and speed of seeded weights say nothing that a search could go by.
    """
    ladder = _with_all_helps(_ladders(item)[0])
    method = ladder.uniform(min(1, len(ladder.rungs) - 2))
    variants = tuple(
        _chosen(variant, method) if isinstance(variant.quantize, Auto) else variant
        for variant in item.build.variants
    )
    return replace(item, build=replace(item.build, variants=variants))


def _chosen(variant: Variant, method: Method | None) -> Variant:
    """Return the variant by a method that was found; all of it is meant, so nothing is left out."""
    return replace(variant, quantize=method, precision=precision_of(method), by_default=())


def _where(build: TargetBuild, variant: Variant) -> str:
    return f"search {build.recipe}/{build.target}/{variant.name}"


def _ladders(item: Inspected) -> tuple[Ladder, ...]:
    precisions = load_provider(item.build.provider).precisions
    return ladders_for(precisions, convolutional=item.model.facts.components[0].convolutional)


def _decided(item: Inspected, variant: Variant, store: Store) -> Choice | None:
    path = store.root / "searches" / f"{_key(item, variant)}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        # Its figures are published with what it chose: they are those that were measured.
        if data.pop("digest") != _digest(data):
            return None
        kinds = {kind.__name__: kind for kind in methods().values()}
        method = from_fields(kinds[data["method"]["$type"]], data["method"])
        return Choice(method, data["holds"], data["summary"], tuple(data["candidates"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never searched, or by another version: search


def _digest(found: dict[str, Any]) -> str:
    # A candidate may have lost all: infinity is a figure here.
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _key(item: Inspected, variant: Variant) -> str:
    build = item.build
    return digest_of(
        {
            "version": VERSION,
            "family": build.family,
            "provider": build.provider,
            "graph": [build.opset, build.attention, build.compose, list(build.shapes)],
            "passes": [to_fields(request) for request in build.passes],
            "variant": {
                **to_fields(replace(variant, name="", because=None, by_default=())),
                "speed": variant.speed,
            },
            "model": item.model.digest,
            "calibration": item.samples["calibration"][1],
            "machine": this_machine().fingerprint,
            "steps": sorted(_steps(item)),
        }
    )


def _steps(item: Inspected) -> set[str]:
    """Return every kind of step that candidates are made of, with its code and its tools."""
    found = set()
    for ladder in _ladders(item):
        helped = _with_all_helps(ladder)
        for rung in range(len(helped.rungs) - 1):
            for node in plan_candidate(item, helped.uniform(rung)).graph.nodes:
                described = describe(node.step, {})
                found.add(digest_of([described.kind, described.code, described.tools]))
    return found


def _with_all_helps(ladder: Ladder) -> Ladder:
    while further := ladder.refinements():
        ladder = further[-1]
    return ladder


def _search(
    item: Inspected,
    variant: Variant,
    store: Store,
    jobs: int | None,
    report: Report,
) -> Choice:
    assert isinstance(variant.quantize, Auto)
    started = time.monotonic()
    evaluator = Evaluator(store, item, started + variant.quantize.max_minutes * 60, jobs)
    fp32_over_pytorch = evaluator.speed(None)
    goal = Goal(variant.budgets, fp32_over_pytorch, variant.speed == "gated")

    def say(found: Attempt) -> None:
        seconds = time.monotonic() - started
        report(f"  {seconds:5.0f} s  {_line(found, goal)}")

    search = Searcher(evaluator, goal, say, variant.quantize.seed)
    best = search.run(_ladders(item))
    if best is None:
        raise PlanError(
            "the search found no method that can be built",
            where=_where(item.build, variant),
            why="\n".join(f"{name}: {why}" for name, why in search.failures.items())
            or "the provider runs no quantized operators, or the time was over at once",
            hint="name a method, or give the search more `max_minutes`",
        )
    decision = _choice(search, best, goal)
    path = store.root / "searches" / f"{_key(item, variant)}.json"
    found = decision.as_json()
    write_atomically(path, {**found, "digest": _digest(found)})
    return decision


def _choice(search: Searcher, best: Attempt, goal: Goal) -> Choice:
    names = [_as_json(item, goal, chosen=item is best) for item in search.candidates]
    if best.standing.holds:
        summary = f"chose {best.name}: {_line(best, goal)}"
    else:
        summary = (
            f"nothing holds the budgets; nearest is {best.name}, limited by "
            f"{best.standing.limit} ({best.standing.worst:.2f} x what is allowed)"
        )
    if search.out_of_time:
        summary += "; the time was over before all was tried"
    return Choice(best.method, best.standing.holds, summary, tuple(names))


def _line(found: Attempt, goal: Goal) -> str:
    judged = (figure for figure, _ in goal.judged(found.figures))
    told = [f"{item.title} {item.text(found.figures[item.name])}" for item in judged]
    speeds = "not timed"
    if found.times:
        pairs = ((s, 1 / (t * goal.pytorch[s])) for s, t in sorted(found.times.items()))
        speeds = "speed " + " / ".join(f"{ratio:.1f} x at {size}" for size, ratio in pairs)
    holds = (
        "holds" if found.standing.holds else f"{found.standing.worst:.2f} of {found.standing.limit}"
    )
    told += [f"size {found.size_ratio:.1%}", speeds]
    return f"{found.name}: {', '.join(told)}: {holds}"


def _as_json(found: Attempt, goal: Goal, *, chosen: bool) -> dict[str, Any]:
    plain = {k: v for k, v in found.figures.items() if isinstance(v, int | float)}
    return {
        "name": found.name,
        "size_ratio": round(found.size_ratio, 4),
        "latency_ratio": round(found.time, 4) if found.times else None,
        "figures": plain,
        "holds": found.standing.holds,
        "chosen": chosen,
    }
