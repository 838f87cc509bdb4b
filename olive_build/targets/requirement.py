"""The lowest onnxruntime that loads a graph and computes it correctly, from a table of releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from olive_build.targets.model import RuntimePackage, Target
from olive_build.targets.reading import Fields, read_mapping
from olive_build.values import dataclass

TABLE = Path(__file__).parent / "runtimes" / "onnxruntime.yaml"
CONTRIB = "com.microsoft"


@dataclass(frozen=True)
class Release:
    """A release of onnxruntime, and the highest opset and IR version that it reads."""

    version: str
    opset: int
    ir: int


@dataclass(frozen=True)
class OperatorRelease:
    """The first release in which an operator of com.microsoft exists and is correct."""

    since: str
    why: str


@dataclass(frozen=True)
class RuntimeTable:
    """What each release of onnxruntime reads, from the oldest to the newest."""

    releases: tuple[Release, ...]
    operators: Mapping[str, OperatorRelease]


@dataclass(frozen=True)
class Requirement:
    """The lowest onnxruntime for a graph, and what in the graph asks for it."""

    version: str
    because: str


def required_runtime(
    operators: Mapping[str, Mapping[str, int]], opset: int, ir: int, *, bits: int = 4
) -> Requirement:
    """Return the lowest onnxruntime that runs a graph with these operators right.

    ``operators`` counts nodes by domain and name, ``opset`` is that of ai.onnx, ``bits`` the
    widest MatMulNBits of the graph. For a format that no known release reads, the newest one
    is returned and ``because`` says so.
    """
    table = load_runtimes(TABLE)
    needs = [_for_format(table, opset, ir)]
    for name in operators.get(CONTRIB, {}):
        key = f"{name}/8" if name == "MatMulNBits" and bits == 8 else name
        if key in table.operators:
            entry = table.operators[key]
            needs.append(Requirement(entry.since, f"{CONTRIB} {name}: {entry.why}"))
    return max(needs, key=lambda need: version_key(need.version))


def required_packages(
    target: Target, provider: str, requirement: Requirement
) -> tuple[RuntimePackage, ...]:
    """Return the target's packages for a provider, ``lowest`` raised to what a graph requires.

    A package whose version is not onnxruntime's own (transformers.js) is left as it is when what
    it carries is enough, and left out otherwise: which release of it is enough is not known here.
    """
    packages = []
    for package in target.packages_for(provider):
        enough = version_key(package.onnxruntime) >= version_key(requirement.version)
        if enough:
            packages.append(package)
        elif package.lowest == package.onnxruntime:
            version = requirement.version
            raised = replace(package, lowest=version, onnxruntime=version, why=requirement.because)
            packages.append(raised)
    return tuple(packages)


@cache
def load_runtimes(path: Path) -> RuntimeTable:
    """Return the table in a file. Raises DataError for whatever is wrong with the file."""
    fields = Fields(read_mapping(path), path)
    fields.text("source")
    releases = []
    for version, entry in fields.mapping("releases").items():
        releases.append(Release(version, entry.number("opset"), entry.number("ir")))
        entry.done()
    operators = {}
    for name, entry in fields.mapping("operators").items():
        operators[name] = OperatorRelease(entry.text("since"), entry.text("why"))
        entry.done()
    fields.done()
    releases.sort(key=lambda release: version_key(release.version))
    return RuntimeTable(tuple(releases), operators)


def version_key(version: str) -> tuple[int, ...]:
    """Return a version of numbers and points as numbers, to be compared; "" is the lowest."""
    return tuple(int(part) for part in version.split(".") if part)


def _for_format(table: RuntimeTable, opset: int, ir: int) -> Requirement:
    because = f"opset {opset} and IR {ir}"
    for release in table.releases:
        if release.opset >= opset and release.ir >= ir:
            return Requirement(release.version, because)
    newest = table.releases[-1]
    return Requirement(newest.version, f"{because} are above what {newest.version} reads")
