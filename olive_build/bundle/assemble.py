"""From artifacts to a bundle: judge what was measured, list the files, write manifest and proof."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from olive_build.bundle.graphs import merged, static_check
from olive_build.bundle.layout import model_files, side_files
from olive_build.bundle.layouts.configuration import CONFIG, SETTINGS
from olive_build.bundle.layouts.folder import MODELS
from olive_build.bundle.manifest import manifest_of
from olive_build.bundle.previous import previous_build, reference_digests
from olive_build.bundle.publish import BundleFile, from_bytes
from olive_build.bundle.purpose import Artifacts, Placed, purpose_of
from olive_build.bundle.readme import README, readme
from olive_build.engine.machine import this_machine
from olive_build.errors import BundleError
from olive_build.onnx_files.data_files import data_name, data_names
from olive_build.plan import types
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.proof.regression import regression_gates, summary
from olive_build.proof.verdict import verdict_of
from olive_build.record.codec import decode, encode
from olive_build.record.manifest import OPERATORS, Graph
from olive_build.record.proof import Limits, Previous, Proof, Search, VariantProof
from olive_build.record.read import to_bytes
from olive_build.steps.describe import DESCRIPTION
from olive_build.steps.measuring import LATENCY, LOAD, MEMORY
from olive_build.steps.quality import QUALITY, WITHOUT_VNNI


@dataclass(frozen=True)
class Judged:
    """A variant's proof, with its name, and whether it is the fp32 graph itself."""

    name: str
    proof: VariantProof
    is_fp32_graph: bool = False


@dataclass(frozen=True)
class Assembled:
    """A bundle that is ready to be published, or whose proofs say why it must not be."""

    files: list[BundleFile]
    manifest: bytes
    proof: bytes
    variants: tuple[Judged, ...]


def assemble(
    bundle: BundlePlan, artifacts: Artifacts, *, smoke: bool, published: Path | None = None
) -> Assembled:
    """Judge the bundle's variants and list its files. Reads JSON artifacts only, no weights.

    `published` is the folder where the bundle will be, and where the previous one may lie.
    """
    descriptions = {
        item.variant.name: merged(
            {
                name: decode(Graph, found)
                for name, found in _figures(item, types.DESCRIPTION, DESCRIPTION, artifacts).items()
            }
        )
        for item in bundle.variants
    }
    found = tuple(
        judge(bundle, item, artifacts, descriptions[item.variant.name], smoke=smoke)
        for item in bundle.variants
    )
    files = [file for placed in _all_files(bundle) for file in _files(bundle, placed, artifacts)]
    if bundle.build.layout == "transformers.js":
        files = declared(files)
    listed = tuple(file.listed for file in files)
    recorded = purpose_of(bundle.build).recorded(bundle, artifacts)
    manifest = manifest_of(bundle, descriptions, listed, recorded, smoke=smoke)
    files.append(from_bytes(README, readme(manifest, bundle.model.facts)))
    files.sort(key=lambda file: file.path)
    manifest = replace(manifest, files=tuple(file.listed for file in files))
    previous = None
    if any(item.proof.limits.regression is not None for item in found):
        previous = previous_build(published, to_bytes(manifest))
        found = tuple(_compared(item, previous, reference_digests(manifest)) for item in found)
    variants = {item.name: item.proof for item in found}
    proof = Proof(manifest.status, this_machine(), variants, previous)
    return Assembled(files, to_bytes(manifest), to_bytes(proof), found)


def _compared(item: Judged, previous: Previous | None, inputs: tuple[str, ...]) -> Judged:
    """Return the proof with the gates on what it may lose against the previous build."""
    proof = item.proof
    if proof.limits.regression is None:
        return item
    gates = regression_gates(
        summary(proof),
        previous.variants.get(item.name) if previous else None,
        proof.limits.regression,
        same_machine=previous is not None and previous.machine == this_machine().fingerprint,
        same_inputs=previous is not None and previous.inputs == inputs,
    )
    return replace(item, proof=_judged(replace(proof, gates=(*proof.gates, *gates))))


def _judged(proof: VariantProof) -> VariantProof:
    """Return the proof with the verdict that follows from its gates and findings."""
    return replace(proof, verdict=verdict_of(proof.gates, proof.static_check))


def judge(
    bundle: BundlePlan, item: VariantPlan, artifacts: Artifacts, graph: Graph, *, smoke: bool
) -> Judged:
    """Hold one variant's figures against its limits, each of its files by itself."""
    variant = item.variant
    limits = decode(Limits, encode(variant.budgets.limits()))
    sizes = [
        sum(file.size_bytes for file in _files(bundle, placed, artifacts))
        for role, placed in model_files(bundle, item).items()
        if role != OPERATORS
    ]
    found: dict[str, object] = {
        "quality": _figures(item, types.QUALITY, QUALITY, artifacts),
        "latency": _figures(item, types.LATENCY, LATENCY, artifacts).get(""),
        "load": _figures(item, types.LATENCY, LOAD, artifacts).get(""),
        "memory": _figures(item, types.MEMORY, MEMORY, artifacts) or None,
        "without_vnni": _figures(item, types.WITHOUT_VNNI, WITHOUT_VNNI, artifacts).get(""),
        # The forms of one graph stand for each other; several graphs are loaded together.
        "size_bytes": max(sizes) if len(item.graphs) == 1 else sum(sizes),
        "fp32_bytes": sum(artifacts[node].size_bytes for node in item.fp32_graphs.values()),
    }
    measured = decode(VariantProof, {"verdict": "passed", "limits": {}, "gates": [], **found})
    proof = replace(
        measured,
        limits=limits,
        static_check=static_check(graph, bundle.build.target, bundle.build.provider),
        mobile_usability=graph.mobile_usability,
        partition=graph.partition,
        search=_search(bundle.searches.get(variant.name)),
    )
    proof = purpose_of(bundle.build).judged(bundle, item, proof, artifacts, smoke=smoke)
    return Judged(variant.name, _judged(proof), item.graphs == item.fp32_graphs)


def _figures(item: VariantPlan, what: str, file: str, artifacts: Artifacts) -> dict[str, Any]:
    """Return what a file of each node says that measures `what` of a variant."""
    return {part: artifacts[node].json(file) for part, node in item.measuring(what).items()}


def _search(text: str | None) -> Search | None:
    """Return what a search tried; a candidate that lost all has figures that are no numbers."""
    if text is None:
        return None
    found = decode(Search, json.loads(text))
    finite = (
        {name: value for name, value in item.figures.items() if math.isfinite(value)}
        for item in found.candidates
    )
    pairs = zip(found.candidates, finite, strict=True)
    return replace(
        found, candidates=tuple(replace(item, figures=figures) for item, figures in pairs)
    )


def _all_files(bundle: BundlePlan) -> list[Placed]:
    placed = [p for item in bundle.variants for p in model_files(bundle, item).values()]
    return [*placed, *purpose_of(bundle.build).placed(bundle).values(), *side_files(bundle)]


def _files(bundle: BundlePlan, placed: Placed, artifacts: Artifacts) -> list[BundleFile]:
    """Return a file as it is published, and behind a graph those that hold its weights."""
    if placed.content is not None:
        return [from_bytes(placed.path, placed.content)]
    if placed.node is None:
        path = Path(bundle.model.folder) / placed.file
        return [from_bytes(placed.path, path.read_bytes())]
    artifact = artifacts[placed.node]
    entries = {entry.path: entry for entry in artifact.files}
    if placed.file not in entries:
        raise BundleError(
            f"the step's output has no file {placed.file}",
            where=str(artifact.path),
            hint="run `olive-build cache verify`, then build again",
        )
    beside = data_names(placed.file, entries)
    names = {placed.file: placed.path}
    names |= {name: data_name(placed.path, number) for number, name in enumerate(beside)}
    files = [
        BundleFile(path, entries[name].sha256, entries[name].size_bytes, artifact.path / name)
        for name, path in names.items()
    ]
    base = PurePosixPath(placed.path).name
    if beside and base != placed.file:
        # A graph names the files of its weights.
        files[0] = from_bytes(placed.path, _renamed(artifact.path / placed.file, base))
    return files


def _renamed(graph: Path, name: str) -> bytes:
    from olive_build.onnx_files.models import renamed

    return renamed(graph, name)


def declared(files: Sequence[BundleFile]) -> list[BundleFile]:
    """Return a client's files; config.json tells it how many files of weights each model has.

    Where all models are one file it stays as it is.
    """
    names = {file.path for file in files if file.path.startswith(f"{MODELS}/")}
    beside = {path: len(data_names(path, names)) for path in sorted(names)}
    numbers = {PurePosixPath(path).name: number for path, number in beside.items() if number}
    if not numbers:
        return list(files)
    return [_declaring(file, numbers) if file.path == CONFIG else file for file in files]


def _declaring(file: BundleFile, numbers: Mapping[str, int]) -> BundleFile:
    content = file.content if file.source is None else file.source.read_bytes()
    config = json.loads(content or b"{}")
    own = {**config.get(SETTINGS, {}), "use_external_data_format": numbers}
    whole = json.dumps({**config, SETTINGS: own}, indent=2, ensure_ascii=False)
    return from_bytes(file.path, f"{whole}\n".encode())
