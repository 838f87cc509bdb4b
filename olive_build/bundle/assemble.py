"""From artifacts to a bundle: judge what was measured, list the files, write manifest and proof."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from olive_build.bundle.layout import OPERATORS_ROLE, Placed, model_files, side_files
from olive_build.bundle.manifest import manifest, to_bytes
from olive_build.bundle.previous import previous_build, reference_digests
from olive_build.bundle.publish import BundleFile, from_bytes
from olive_build.bundle.readme import README, readme
from olive_build.bundle.training import measured, training_files, training_section
from olive_build.engine.machine import this_machine
from olive_build.engine.store import Artifact
from olive_build.errors import BundleError
from olive_build.families.registry import FAMILIES
from olive_build.plan import types
from olive_build.plan.measured import OWN_PROVIDER_RUNS
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.proof.figures import shipped
from olive_build.proof.regression import regression_gates, summary
from olive_build.proof.training_verdict import margin_gates, training_gates
from olive_build.proof.verdict import (
    Gate,
    failures,
    load_gates,
    memory_gates,
    quality_gates,
    size_gates,
    speed_gate,
    speedup_gates,
    undecided,
)
from olive_build.recipe.build import TargetBuild, Variant
from olive_build.recipe.sections.train import personalisation_of
from olive_build.steps.describe import DESCRIPTION
from olive_build.steps.footprint import MEMORY
from olive_build.steps.latency import LATENCY, LOAD
from olive_build.steps.quality import QUALITY
from olive_build.steps.without_vnni import WITHOUT_VNNI
from olive_build.targets import load_provider, load_target
from olive_build.targets.check import Finding, check_operators

PROOF_VERSION = 2
AS_FAST = 1.0
AGAINST_FP32 = ("size_ratio", "slowdown", "load_ratio", "memory_ratio")
Artifacts = Mapping[str, Artifact]


@dataclass(frozen=True)
class VariantProof:
    """What was measured of one variant, and the verdict."""

    name: str
    limits: dict[str, Any]
    quality: dict[str, dict[str, Any]]
    latency: list[dict[str, Any]] | None
    load: dict[str, Any] | None
    memory: dict[str, list[dict[str, Any]]] | None
    without_vnni: dict[str, Any] | None
    gates: tuple[Gate, ...]
    findings: tuple[Finding, ...]
    size_bytes: int
    fp32_bytes: int
    is_fp32_graph: bool
    usability: dict[str, Any] | None
    partition: dict[str, Any] | None
    search: dict[str, Any] | None
    training: dict[str, Any] | None = None

    @property
    def problems(self) -> list[str]:
        """What keeps the variant from being published, as a person reads it."""
        found = [item.text() for item in failures(self.gates)]
        return found + [f"{f.what}: {f.why}" for f in self.findings if f.severity == "error"]

    @property
    def verdict(self) -> str:
        """`passed`, `failed`, or `undecided` where noise left a gate open."""
        if self.problems:
            return "failed"
        return "undecided" if undecided(self.gates) else "passed"

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "limits": self.limits,
            "quality": self.quality,
            "latency": self.latency,
            "load": self.load,
            "memory": self.memory,
            "without_vnni": self.without_vnni,
            "gates": [item.as_json() for item in self.gates],
            "static_check": [asdict(finding) for finding in self.findings],
            "mobile_usability": self.usability,
            "partition": self.partition,
            "search": self.search,
            "size_bytes": self.size_bytes,
            "fp32_bytes": self.fp32_bytes,
            **({"training": self.training} if self.training else {}),
        }


@dataclass(frozen=True)
class Assembled:
    """A bundle that is ready to be published, or whose proofs say why it must not be."""

    files: list[BundleFile]
    manifest: bytes
    proof: bytes
    variants: tuple[VariantProof, ...]


def assemble(
    bundle: BundlePlan, artifacts: Artifacts, *, smoke: bool, published: Path | None = None
) -> Assembled:
    """Judge the bundle's variants and list its files. Reads JSON artifacts only, no weights.

    `published` is the folder where the bundle will be, and where the previous one may lie.
    """
    descriptions = {
        item.variant.name: merged(_figures(item, types.DESCRIPTION, DESCRIPTION, artifacts))
        for item in bundle.variants
    }
    proofs = tuple(
        judge(bundle, item, artifacts, descriptions[item.variant.name], smoke=smoke)
        for item in bundle.variants
    )
    files = [_placed(bundle, placed, artifacts) for placed in _all_files(bundle)]
    described = manifest(bundle, descriptions, [file.as_json() for file in files], smoke=smoke)
    if bundle.training:
        described["training"] = training_section(bundle, artifacts)
    files.append(from_bytes(README, readme(described, bundle.model.facts)))
    files.sort(key=lambda file: file.path)
    described["files"] = [file.as_json() for file in files]
    proof = {
        "proof_version": PROOF_VERSION,
        "status": described["status"],
        "machine": this_machine().as_json(),
    }
    if any("regression" in item.limits for item in proofs):
        previous = previous_build(published, to_bytes(described))
        inputs = reference_digests(described["files"])
        proofs = tuple(_compared(item, previous, inputs) for item in proofs)
        proof["previous"] = previous
    proof["variants"] = {item.name: item.as_json() for item in proofs}
    return Assembled(files, to_bytes(described), to_bytes(proof), proofs)


def merged(descriptions: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a variant's files are together: of several, `graphs` describes each.

    Inputs and outputs are then the first file's, operators and values those of all.
    """
    found = list(descriptions.values())
    if len(found) == 1:
        return found[0]
    operators: dict[str, dict[str, int]] = {}
    for item in found:
        for domain, counts in item["operators"].items():
            known = operators.setdefault(domain, {})
            for name, count in counts.items():
                known[name] = known.get(name, 0) + count
    opsets = {key: value for item in found for key, value in item["opsets"].items()}
    estimates = {
        name: item["partition"] for name, item in descriptions.items() if "partition" in item
    }
    told = "; ".join(f"{name}: {item['text']}" for name, item in estimates.items())
    return {
        **found[0],
        **({"partition": {"text": told}} if told else {}),
        "operators": operators,
        "opsets": opsets,
        "ir_version": max(item["ir_version"] for item in found),
        "stored_values": sum(item["stored_values"] for item in found),
        "graphs": dict(descriptions),
    }


def _compared(
    proof: VariantProof, previous: dict[str, Any] | None, inputs: list[str]
) -> VariantProof:
    """Return the proof with the gates on what it may lose against the previous build."""
    limits = proof.limits.get("regression")
    if limits is None:
        return proof
    gates = regression_gates(
        summary(proof.as_json()),
        (previous or {"variants": {}})["variants"].get(proof.name),
        limits,
        same_machine=previous is not None and previous["machine"] == this_machine().fingerprint,
        same_inputs=previous is not None and previous["inputs"] == inputs,
    )
    return replace(proof, gates=(*proof.gates, *gates))


def judge(
    bundle: BundlePlan,
    item: VariantPlan,
    artifacts: Artifacts,
    description: dict[str, Any],
    *,
    smoke: bool,
) -> VariantProof:
    """Hold one variant's figures against its limits, each of its files by itself.

    A miniature's size and speed say nothing of the model's, so `smoke` judges quality alone, by
    the shipped floors.
    """
    variant = item.variant
    limits = variant.budgets.limits()
    if smoke and not bundle.training:
        limits = shipped(FAMILIES[bundle.build.family].metrics, variant.precision)
    quality = _figures(item, types.QUALITY, QUALITY, artifacts)
    sizes = [
        _placed(bundle, placed, artifacts).size_bytes
        for role, placed in model_files(bundle, item).items()
        if role != OPERATORS_ROLE
    ]
    # The forms of one graph stand for each other; several graphs are loaded together.
    size = max(sizes) if len(item.graphs) == 1 else sum(sizes)
    proof = VariantProof(
        name=variant.name,
        limits=limits,
        quality=quality,
        latency=_figures(item, types.LATENCY, LATENCY, artifacts).get(""),
        load=_figures(item, types.LATENCY, LOAD, artifacts).get(""),
        memory=_figures(item, types.MEMORY, MEMORY, artifacts) or None,
        without_vnni=_figures(item, types.WITHOUT_VNNI, WITHOUT_VNNI, artifacts).get(""),
        gates=tuple(
            gate
            for _, figures in sorted(quality.items())
            for gate in quality_gates(figures, limits)
        ),
        findings=_static_check(bundle, description),
        size_bytes=size,
        fp32_bytes=sum(artifacts[node].size_bytes for node in item.fp32_graphs.values()),
        is_fp32_graph=item.graphs == item.fp32_graphs,
        usability=description.get("mobile_usability"),
        partition=description.get("partition"),
        search=json.loads(bundle.searches[variant.name])
        if variant.name in bundle.searches
        else None,
    )
    if bundle.training:
        return _trained(bundle, proof, artifacts, smoke=smoke)
    return proof if smoke else replace(proof, gates=_all_gates(bundle.build, variant, proof))


def _figures(item: VariantPlan, what: str, file: str, artifacts: Artifacts) -> dict[str, Any]:
    """Return what a file of each node says that measures `what` of a variant."""
    return {part: artifacts[node].json(file) for part, node in item.measuring(what).items()}


def _trained(
    bundle: BundlePlan, proof: VariantProof, artifacts: Artifacts, *, smoke: bool
) -> VariantProof:
    """Return the proof of a bundle that trains: its figures, and a gate for each.

    A miniature learns nothing of a voice, so `smoke` judges no rate of errors. The bundle's size is
    that of what a device trains with.
    """
    figures = measured(bundle, artifacts)
    held = None if smoke else personalisation_of(bundle.build)
    gates = (*proof.gates, *training_gates(figures, held.equal_error_rate if held else None))
    if held and held.errors_at_margin is not None:
        gates = (*gates, *margin_gates(figures["personalised"], held.errors_at_margin))
    size = sum(
        _placed(bundle, placed, artifacts).size_bytes
        for role, placed in training_files(bundle).items()
        if not role.endswith("_ort") or "onnx" not in bundle.build.formats
    )
    return replace(proof, gates=gates, training=figures, size_bytes=size, fp32_bytes=size)


def _all_gates(build: TargetBuild, variant: Variant, proof: VariantProof) -> tuple[Gate, ...]:
    """Return the gates on quality, size, time and memory; the fp32 graph has none on ratios."""
    limits = proof.limits
    if proof.is_fp32_graph:
        limits = {key: value for key, value in limits.items() if key not in AGAINST_FP32}
    gates = [*proof.gates, *size_gates(proof.size_bytes, proof.fp32_bytes, limits)]
    absent = _why_not_timed(build)
    if not proof.is_fp32_graph:
        gates.append(_speed_gate(build, variant, proof.latency, limits))
    gates += speedup_gates(proof.latency, limits.get("speedup", ()), absent)
    gates += load_gates(proof.load, limits, absent)
    return (*gates, *memory_gates(proof.memory, limits, absent))


def _speed_gate(
    build: TargetBuild,
    variant: Variant,
    latency: list[dict[str, Any]] | None,
    limits: Mapping[str, Any],
) -> Gate:
    return speed_gate(
        latency,
        limits.get("slowdown", AS_FAST),
        waived=variant.because if variant.speed == "any" else None,
        absent=_why_not_timed(build),
    )


def _why_not_timed(build: TargetBuild) -> str:
    if (build.target, build.provider) != OWN_PROVIDER_RUNS:
        return f"{load_provider(build.provider).title} for {build.target} is not on this machine"
    return "" if build.timing else "the recipe says verify.timing: false"


def _static_check(bundle: BundlePlan, description: dict[str, Any]) -> tuple[Finding, ...]:
    axes = [a for value in description["inputs"] for a in value["axes"]]
    return check_operators(
        description["operators"],
        description["opsets"]["ai.onnx"],
        description["ir_version"],
        target=load_target(bundle.build.target),
        provider=load_provider(bundle.build.provider),
        has_dynamic_shapes=any(isinstance(axis, str) for axis in axes),
    )


def _all_files(bundle: BundlePlan) -> list[Placed]:
    placed = [p for item in bundle.variants for p in model_files(bundle, item).values()]
    return placed + list(training_files(bundle).values()) + side_files(bundle)


def _placed(bundle: BundlePlan, placed: Placed, artifacts: Artifacts) -> BundleFile:
    if placed.content is not None:
        return from_bytes(placed.path, placed.content)
    if placed.node is None:
        path = Path(bundle.model.folder) / placed.file
        content = path.read_bytes()
        return from_bytes(placed.path, content)
    artifact = artifacts[placed.node]
    _require_whole(placed, artifact)
    for entry in artifact.files:
        if entry.path == placed.file:
            source = artifact.path / placed.file
            return BundleFile(placed.path, entry.sha256, entry.size_bytes, source=source)
    raise BundleError(
        f"the step's output has no file {placed.file}",
        where=str(artifact.path),
        hint="run `olive-build cache verify`, then build again",
    )


def _require_whole(placed: Placed, artifact: Artifact) -> None:
    """Raise BundleError for a graph whose weights lie beside it: they would be left behind."""
    beside = f"{placed.file}_data"
    if any(entry.path == beside for entry in artifact.files):
        raise BundleError(
            f"{placed.path} is too large for one file",
            where=str(artifact.path / beside),
            why="above 1.8 GB weights lie beside the graph, and bundles of two files are not built",
            hint="leave this variant out, and build those of fewer bits",
        )
