"""Every gate with its figure, its limit and its verdict, and what the static check found."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.record.proof import Finding, Gate
from olive_build.report.blocks import NONE, Content, Section, by_place, grouped, status
from olive_build.report.builds import Build, VariantView
from olive_build.report.numbers import limit_text, number, text_of, title_of
from olive_build.report.sections import Capability


def of_one(build: Build) -> Iterator[Section]:
    """Yield the table of gates."""
    found = [(f"{item.target} {item.name}", "", list(_rows(item))) for item in build.variants]
    gates = grouped(
        "gates",
        "What a bundle is held to; one that fails is not published.",
        [group for group in found if group[2]],
        *by_place(
            ("Figure", "name"),
            ("Value", "number"),
            ("Limit", "number"),
            ("Verdict", ""),
            ("Remark", "long"),
        ),
    )
    yield Section("gates", "Gates", (gates,))


def _rows(item: VariantView) -> Iterator[list[Content]]:
    for gate in dict.fromkeys(item.proof.gates):
        yield _gate(gate)
    for finding in item.proof.static_check:
        yield _finding(finding)


def _gate(gate: Gate) -> list[Content]:
    name, value, interval = gate.figure, gate.value, gate.interval
    between = f"{interval[0]:.3g} to {interval[1]:.3g}" if interval else ""
    return [
        title_of(name) + (f" at {gate.size}" if gate.size is not None else ""),
        "not measured" if value is None else number(value, text_of(name, value), between),
        f"{gate.bound} {limit_text(name, gate.limit)}",
        status(gate.status),
        gate.note,
    ]


def _finding(finding: Finding) -> list[Content]:
    words = (finding.what, finding.why, finding.hint)
    verdict = status("failed" if finding.severity == "error" else finding.severity)
    return ["static check", NONE, NONE, verdict, "; ".join(filter(None, words))]


CAPABILITY = Capability(50, of_one)
