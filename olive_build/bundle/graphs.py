"""What a variant's graphs are together, and what is known of them without running any.

A build says it of its artifacts, and `verify` of the files that it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from olive_build.record.manifest import Graph, Manifest, Told, Variant
from olive_build.record.proof import Finding, VariantProof
from olive_build.targets import load_provider, load_target, provider_names, target_names
from olive_build.targets.check import check_operators

# Of what is shown in a line.
LONGEST = 200
# What a file itself tells of its graph.
TOLD = ("inputs", "outputs", "ir_version", "opsets", "operators", "stored_values")


def merged(graphs: Mapping[str, Graph]) -> Graph:
    """Return what a variant's files are together: of several, `graphs` describes each.

    Inputs and outputs are then the first file's, operators and values those of all.
    """
    found = list(graphs.values())
    if len(found) == 1:
        return found[0]
    operators: dict[str, dict[str, int]] = {}
    for item in found:
        for domain, counts in item.operators.items():
            known = operators.setdefault(domain, {})
            for name, count in counts.items():
                known[name] = known.get(name, 0) + count
    told = [f"{name}: {item.partition.text}" for name, item in graphs.items() if item.partition]
    return replace(
        found[0],
        partition=Told("; ".join(told)) if told else None,
        operators=operators,
        opsets={key: value for item in found for key, value in item.opsets.items()},
        ir_version=max(item.ir_version for item in found),
        stored_values=sum(item.stored_values for item in found),
        graphs=graphs,
    )


def static_check(graph: Graph, target: str, provider: str) -> tuple[Finding, ...]:
    """Return what is known of a graph for a target and a provider by its operators."""
    return check_operators(
        graph.operators,
        graph.opset,
        graph.ir_version,
        target=load_target(target),
        provider=load_provider(provider),
        has_dynamic_shapes=any(isinstance(a, str) for item in graph.inputs for a in item.axes),
    )


def other_graphs(variant: Variant, found: Mapping[str, Graph]) -> Iterator[str]:
    """Yield what a manifest says of a variant and its files, by role, say otherwise."""
    told: list[tuple[str, Graph, Graph]] = [("", variant, merged(found))]
    if len(found) > 1:
        told += [(f"{role}: ", variant.graph(role), graph) for role, graph in found.items()]
    for role, recorded, graph in told:
        for name in TOLD:
            was, now = getattr(recorded, name), getattr(graph, name)
            if was != now:
                shown = f"{was!s:.{LONGEST}}, and the file has {now!s:.{LONGEST}}"
                yield f"{role}{name.replace('_', ' ')} recorded as {shown}"


def other_findings(
    manifest: Manifest, variant: Graph, proved: VariantProof
) -> tuple[list[str], list[str]]:
    """Return the errors of the static check that a proof leaves out, and what cannot be compared.

    What a provider takes is data that grows: a note that has other words by now is no fault.
    """
    if manifest.target not in target_names() or manifest.provider not in provider_names():
        why = f"this olive-build has no {manifest.target} with {manifest.provider}"
        return [], [f"the static check: {why}"]
    found = static_check(variant, manifest.target, manifest.provider)
    errors = [item for item in found if item.severity == "error"]
    problems = [f"{item.what}: {item.why}" for item in errors if item not in proved.static_check]
    others = {*proved.static_check} ^ {*found}
    return problems, ["the static check, whose notes are others now"] if others else []
