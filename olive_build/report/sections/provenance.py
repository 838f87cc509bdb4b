"""Where a build comes from: the model, the machine, the tools, what an application installs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olive_build.record.codec import encode
from olive_build.record.manifest import Model
from olive_build.record.proof import Machine
from olive_build.report.blocks import Column, Content, Section, Table, code, table
from olive_build.report.builds import Build, BundleView
from olive_build.report.numbers import size
from olive_build.report.sections import Capability

DIGITS = 16


def of_one(build: Build) -> Iterator[Section]:
    """Yield the model, machines, tools and files of the bundles."""
    found = build.bundles
    blocks = (_origins(found), _packages(found), _files(found))
    yield Section("provenance", "Provenance", blocks)


def _origins(bundles: Sequence[BundleView]) -> Table:
    found: dict[tuple[str, str], list[str]] = {}
    for bundle in bundles:
        lines = [(f"model, {key}", text) for key, text in _told(bundle.manifest.model)]
        lines += [(f"machine, {key}", text) for key, text in _told(bundle.machine)]
        for line in (*lines, *sorted(bundle.manifest.tools.items())):
            found.setdefault(line, []).append(bundle.target)
    rows: list[list[Content]] = [
        [what, code(value), "all" if len(whose) == len(bundles) else ", ".join(whose)]
        for (what, value), whose in found.items()
    ]
    columns = Column("What", "name"), Column("Value", "long"), Column("Bundles")
    return table("origins", columns, rows, "The model, the machine, the tools.")


def _packages(bundles: Sequence[BundleView]) -> Table:
    columns = (
        Column("An application installs", "name"),
        Column("At least", "number"),
        Column("For"),
        Column("Because", "long"),
    )
    rows = [
        [item.name, item.lowest, bundle.target, item.why]
        for bundle in bundles
        for item in bundle.manifest.runtime.packages
    ]
    caption = "Runtime packages and the lowest version that loads the files."
    return table("packages", columns, rows, caption)


def _files(bundles: Sequence[BundleView]) -> Table:
    rows = [
        [
            code(f"{bundle.target}/{item.path}"),
            size(item.size_bytes),
            code(f"{item.sha256[:DIGITS]}\u2026"),
        ]
        for bundle in bundles
        for item in bundle.manifest.files
    ]
    columns = Column("File", "name"), Column("Size", "number"), Column("sha256")
    return table("files", columns, rows, "What is shipped.")


def _told(facts: Model | Machine) -> list[tuple[str, str]]:
    return sorted((key, _text(value)) for key, value in encode(facts).items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


CAPABILITY = Capability(90, of_one)
