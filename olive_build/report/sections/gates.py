"""Every gate with its figure, its limit and its verdict, and what the static check found."""

from __future__ import annotations

from collections.abc import Iterator

from olive_build.record.proof import Finding, Gate
from olive_build.report.blocks import NONE, Column, Content, Section, Table, group, status
from olive_build.report.builds import Build
from olive_build.report.numbers import limit_text, number, text_of, title_of
from olive_build.report.sections import Capability

COLUMNS = (
    Column("Figure", "name"),
    Column("Value", "number"),
    Column("Limit", "number"),
    Column("Verdict"),
    Column("Remark", "long"),
)


def of_one(build: Build) -> Iterator[Section]:
    """Yield the table of gates."""
    groups = []
    for item in build.variants:
        rows = [_gate(gate) for gate in dict.fromkeys(item.proof.gates)]
        rows += [_finding(finding) for finding in item.proof.static_check]
        if rows:
            groups.append(group(rows, f"{item.target} {item.name}"))
    caption = "What a bundle is held to; one that fails is not published."
    yield Section("gates", "Gates", (Table("gates", COLUMNS, tuple(groups), caption),))


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
