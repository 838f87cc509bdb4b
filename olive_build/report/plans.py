"""Plans and explanations as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import click

from olive_build.bundle.layout import model_files, side_files
from olive_build.bundle.purpose import Placed, purpose_of
from olive_build.engine.fingerprint import TYPE, to_fields
from olive_build.engine.graph import Node
from olive_build.engine.step import Step
from olive_build.engine.store import Store
from olive_build.plan.types import BundlePlan, Plan
from olive_build.prepare import plan_builds
from olive_build.report.render.terminal import paragraph
from olive_build.report.render.terminal import say as print_paragraph
from olive_build.report.style import paint
from olive_build.select import Selection, select

MOST_OF_A_SETTING = 70


def say(text: str) -> None:
    """Print a remark that is not part of the result."""
    click.echo(text, err=True)


def print_plan(selected: Selection, *, as_json: bool) -> None:
    """Print the steps, what each needs, and what becomes of them."""
    requests = select(selected)
    with Store() as store:
        plan = plan_builds(requests, store, smoke=selected.smoke, report=say)
        store.stamps.save()
    if as_json:
        click.echo(json.dumps(plan_json(plan), indent=2))
        return
    slots = {node.id: node.slot for node in plan.graph.nodes}
    for node in plan.graph.nodes:
        _print_step(node, slots)
    click.echo()
    for bundle in plan.bundles:
        click.echo(f"{bundle.build.recipe} for {bundle.build.target} ({bundle.build.provider}):")
        for placed in _made(bundle):
            for line in paragraph(f"{placed.path}  from {slots[placed.node or '']}", "    "):
                click.echo(line)
        for placed in side_files(bundle):
            click.echo(f"    {placed.path}")
    for note in dict.fromkeys(note for bundle in plan.bundles for note in bundle.model.notes):
        print_paragraph(f"note: {note}")
    steps, bundles = len(plan.graph.nodes), len(plan.bundles)
    click.echo(f"\n{steps} step{'s' * (steps != 1)} for {bundles} bundle{'s' * (bundles != 1)}")


def _print_step(node: Node, slots: Mapping[str, str]) -> None:
    """Print what a step does, and the steps whose results it takes."""
    click.echo(node.slot)
    for line in paragraph(" ".join(_told(node.step)), "    ", "    "):
        click.echo(paint(line, "dim"))
    for name, source in node.inputs:
        for line in paragraph(f"{name}: {slots[source]}", "    ") if source in slots else ():
            click.echo(line)


def _made(bundle: BundlePlan) -> list[Placed]:
    """Return the files that steps make: the variants' and those beside them."""
    models = [file for item in bundle.variants for file in model_files(bundle, item).values()]
    return [*models, *purpose_of(bundle.build).placed(bundle).values()]


def _told(step: Step) -> Iterator[str]:
    """Yield what a step does, in the words of its class, and then its settings."""
    about = (type(step).__doc__ or "").strip().partition("\n")[0]
    # A dataclass without a docstring is given its signature for one.
    if about and not about.startswith(f"{type(step).__name__}("):
        yield about.partition(" Inputs: ")[0]
    settings = ", ".join(_settings(to_fields(step)))
    if settings:
        yield f"Settings: {settings}."


def _settings(fields: Mapping[str, object]) -> Iterator[str]:
    """Yield the settings that say something as a recipe writes them; --json has all of them."""
    for name, value in fields.items():
        pairs = value if isinstance(value, list) else ()
        if pairs and all(isinstance(x, list) and len(x) == 2 for x in pairs):
            value = dict(pairs)
        if isinstance(value, dict):
            yield from _settings({key: item for key, item in value.items() if key != TYPE})
        elif value not in (None, "", []) and not str(value).startswith("olive_build."):
            text = ", ".join(map(_short, value)) if isinstance(value, list) else _short(value)
            yield f"{name}: [{text}]" if isinstance(value, list) else f"{name}: {text}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_OF_A_SETTING else f"{text[: MOST_OF_A_SETTING - 3]}..."


def plan_json(plan: Plan) -> dict[str, object]:
    """Return the plan for a pipeline: steps with ids, and bundles with their files."""
    return {
        "steps": [
            {
                "id": node.id,
                "slot": node.slot,
                "kind": node.step.kind,
                "fields": to_fields(node.step),
                "inputs": dict(node.inputs),
            }
            for node in plan.graph.nodes
        ],
        "bundles": [
            {
                "recipe": bundle.build.recipe,
                "target": bundle.build.target,
                "provider": bundle.build.provider,
                "files": {placed.path: placed.node for placed in _made(bundle)},
                "notes": list(bundle.model.notes),
            }
            for bundle in plan.bundles
        ],
    }


def print_explanation(selected: Selection, *, force: bool, as_json: bool) -> None:
    """Print for each step whether a build would run it, and why."""
    from olive_build.engine.explain import Plain, explain

    requests = select(selected)
    with Store() as store:
        plan = plan_builds(requests, store, smoke=selected.smoke, report=say)
        wanted = {node for bundle in plan.bundles for node in bundle.nodes()}
        explained = explain(plan.graph, store, force=force, wanted=wanted)
        store.stamps.save()
    runs = [not all(reason is Plain.UP_TO_DATE for reason in reasons) for _, reasons in explained]
    if as_json:
        rows = [
            {"slot": node.slot, "runs": run, "reasons": [reason.text() for reason in reasons]}
            for (node, reasons), run in zip(explained, runs, strict=True)
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for (node, reasons), run in zip(explained, runs, strict=True):
        word = paint("runs  ", "yellow") if run else paint("cached", "dim")
        click.echo(f"{word} {node.slot}")
        if run:
            for reason in reasons:
                click.echo(f"       {reason.text()}")
    click.echo(f"\n{sum(runs)} of {len(runs)} steps would run")
