"""Where a build comes from: the model, the machine, the tools, what an application installs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olive_build.record.codec import encode
from olive_build.record.manifest import Model
from olive_build.record.proof import Machine
from olive_build.report.blocks import Section, Table, code, table
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
    return table(
        "origins",
        "The model, the machine, the tools.",
        found.items(),
        ("What", "name", lambda item: item[0][0]),
        ("Value", "long", lambda item: code(item[0][1])),
        ("Bundles", "", lambda it: "all" if len(it[1]) == len(bundles) else ", ".join(it[1])),
    )


def _packages(bundles: Sequence[BundleView]) -> Table:
    return table(
        "packages",
        "Runtime packages and the lowest version that loads the files.",
        [(bundle, item) for bundle in bundles for item in bundle.manifest.runtime.packages],
        ("An application installs", "name", lambda pair: pair[1].name),
        ("At least", "number", lambda pair: pair[1].lowest),
        ("For", "", lambda pair: pair[0].target),
        ("Because", "long", lambda pair: pair[1].why),
    )


def _files(bundles: Sequence[BundleView]) -> Table:
    return table(
        "files",
        "What is shipped.",
        [(bundle, item) for bundle in bundles for item in bundle.manifest.files],
        ("File", "name", lambda pair: code(f"{pair[0].target}/{pair[1].path}")),
        ("Size", "number", lambda pair: size(pair[1].size_bytes)),
        ("sha256", "", lambda pair: code(f"{pair[1].sha256[:DIGITS]}\u2026")),
    )


def _told(facts: Model | Machine) -> list[tuple[str, str]]:
    return sorted((key, _text(value)) for key, value in encode(facts).items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


CAPABILITY = Capability(90, of_one)
