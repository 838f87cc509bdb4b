"""Where a build comes from: the model, the machine, the tools, what an application installs."""

from __future__ import annotations

from collections.abc import Sequence

from olive_build.record.codec import encode
from olive_build.record.manifest import Model
from olive_build.record.proof import Machine
from olive_build.report.html.bundles import BundleView
from olive_build.report.html.markup import Child, tag
from olive_build.report.html.numbers import data, megabytes
from olive_build.report.html.page import Column, Section, joined, rows, table

DIGITS = 16


def provenance(bundles: Sequence[BundleView]) -> Section:
    """Return the model, machines, tools and files of the bundles."""
    parts = [_origins(bundles), _packages(bundles), _files(bundles)]
    return Section("provenance", "Provenance", joined(parts))


def _origins(bundles: Sequence[BundleView]) -> Child:
    columns = [Column("What", "name"), Column("Value", "long"), Column("Bundles")]
    found: dict[tuple[str, str], list[str]] = {}
    for bundle in bundles:
        lines = [(f"model, {key}", text) for key, text in _told(bundle.manifest.model)]
        lines += [(f"machine, {key}", text) for key, text in _told(bundle.machine)]
        lines += sorted(bundle.manifest.tools.items())
        for line in lines:
            found.setdefault(line, []).append(bundle.target)
    cells = [
        [what, tag("span", value, class_="code"), _whose(targets, bundles)]
        for (what, value), targets in found.items()
    ]
    return table(
        "origins", columns, [rows(columns, cells)], caption="The model, the machine, the tools."
    )


def _packages(bundles: Sequence[BundleView]) -> Child:
    columns = [
        Column("An application installs", "name"),
        Column("At least", "number"),
        Column("For"),
        Column("Because", "long"),
    ]
    cells = [
        [item.name, item.lowest, bundle.target, item.why]
        for bundle in bundles
        for item in bundle.manifest.runtime.packages
    ]
    caption = "Runtime packages and the lowest version that loads the files."
    return table("packages", columns, [rows(columns, cells)], caption=caption)


def _files(bundles: Sequence[BundleView]) -> Child:
    columns = [Column("File", "name"), Column("Size", "number"), Column("sha256")]
    cells = [
        [
            tag("span", f"{bundle.target}/{item.path}", class_="code"),
            data(item.size_bytes, megabytes(item.size_bytes)),
            tag("span", f"{item.sha256[:DIGITS]}\u2026", class_="code"),
        ]
        for bundle in bundles
        for item in bundle.manifest.files
    ]
    return table("files", columns, [rows(columns, cells)], caption="What is shipped.")


def _told(facts: Model | Machine) -> list[tuple[str, str]]:
    return sorted((key, _text(value)) for key, value in encode(facts).items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _whose(targets: Sequence[str], bundles: Sequence[BundleView]) -> str:
    return "all" if len(targets) == len(bundles) else ", ".join(targets)
