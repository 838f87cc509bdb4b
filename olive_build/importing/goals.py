"""`evaluators` of a configuration -> the budgets that every variant is held to."""

from __future__ import annotations

from collections.abc import Mapping

from olive_build.families.registry import Family
from olive_build.importing.ledger import Found, Ledger, Part, as_list
from olive_build.proof import figures
from olive_build.recipe.draft import Draft

BUDGETS = ("verify", "every_variant")
MEASURED = "every file is compared with PyTorch: docs/gates.md says by what"
NO_FIGURE = "no figure of this family measures it"
NO_GOAL = "it has no goal, and what a build measures is set by the family"
_SETTINGS: Mapping[str, str] = {
    "data_config": "verify.data takes a file",
    "user_config": "how things are measured is set by the family, and no code runs",
    "backend": MEASURED,
    "higher_is_better": "a figure knows it",
    "priority": "all budgets are held",
    "metric_config": "how things are measured is set by the family",
}


def say_goals(ledger: Ledger, draft: Draft, engine: Part, family: Family) -> None:
    """Write the goals of the evaluator that is used as budgets."""
    root = Part(ledger, Found((), ledger.configuration))
    evaluators = root.part("evaluators")
    for name, found in evaluators.entries():
        ledger.leave(found.where, f"the engine does not use the evaluator '{name}'")
    chosen = engine.find("evaluator")
    if chosen and isinstance(chosen.value, str):
        ledger.use(chosen.where)
        named = evaluators.find(chosen.value)
        if named is None:
            ledger.leave(chosen.where, f"there is no evaluator '{chosen.value}'")
        chosen = named
    if chosen is None:
        return
    ledger.left.pop(chosen.where, None)
    evaluator = Part(ledger, chosen)
    for key, _ in evaluator.entries():
        evaluator.leave(key, MEASURED)
    metrics = evaluator.find("metrics")
    if metrics:
        ledger.left.pop(metrics.where, None)
    for item in as_list(metrics):
        _say_metric(ledger, draft, Part(ledger, item, "user_config"), family)


def _say_metric(ledger: Ledger, draft: Draft, metric: Part, family: Family) -> None:
    for key, _ in metric.entries():
        metric.leave(key, _SETTINGS.get(key, _SETTINGS["user_config"]))
    metric.use("name")
    kind = metric.text("type") or ""
    metric.use("type")
    subs = metric.find("sub_types")
    if subs is None:
        metric.leave("type", NO_GOAL)
        return
    ledger.left.pop(subs.where, None)
    for item in as_list(subs):
        sub = Part(ledger, item)
        for key, why in _SETTINGS.items():
            sub.leave(key, why)
        name, goal = sub.text("name") or "", sub.find("goal")
        sub.use("name")
        if goal is None:
            sub.leave("name", NO_GOAL)
        else:
            _say_goal(ledger, draft, kind, name, goal, family)


def _say_goal(
    ledger: Ledger, draft: Draft, kind: str, name: str, goal: Found, family: Family
) -> None:
    part = Part(ledger, goal)
    how, value = part.text("type") or "", part.find("value")
    number = value.value if value else None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        ledger.leave(goal.where, "it has no number")
        return
    found = _budget(kind.lower(), name.lower(), how.lower(), float(number))
    if found is None:
        ledger.leave(goal.where, NO_FIGURE)
        return
    key, limit = found
    if key in figures.of_quality() and key not in figures.of_metrics(family.metrics):
        ledger.leave(goal.where, NO_FIGURE)
        return
    draft.say((*BUDGETS, key), limit, goal.where)
    part.use("type", "value")


def _budget(kind: str, name: str, how: str, value: float) -> tuple[str, float] | None:
    """Return the budget that says the same as a goal, or None where there is none."""
    match kind, name, how:
        case "latency", "avg", "percent-min-improvement" if value < 100:
            return "speedup", round(1 / (1 - value / 100), 4)
        case "latency", "avg", "percent-max-degradation":
            return "speedup", round(1 / (1 + value / 100), 4)
        case "size_on_disk", "bytes", "threshold":
            return "size_mb", value / 1e6
        case "accuracy", "accuracy_score", "threshold":
            return "accuracy", value
        case "accuracy", "accuracy_score", "max-degradation":
            return "accuracy_loss", round(100 * value, 6)
        case "accuracy", "wer", "threshold":
            return "wer", value
        case "accuracy", "wer", "max-degradation":
            return "wer_loss", round(100 * value, 6)
        case "accuracy", "perplexity", "threshold":
            return "perplexity", value
        case "accuracy", "perplexity", "percent-max-degradation":
            return "perplexity_ratio", round(1 + value / 100, 6)
    return None
