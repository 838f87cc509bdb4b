"""Check a published bundle again: every byte, and the quality of every model by running it.

Of a training bundle the inference model is run, the checkpoint opened, and the optimizer's files
are read. That a step does what PyTorch's does takes the training toolchain: `verify --train`.

Needs onnxruntime and numpy, no torch: this is what a release pipeline or a recipient runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.bundle.layouts.check import is_for_client, require_layout
from olive_build.bundle.training_verify import training_problems
from olive_build.engine.machine import this_machine
from olive_build.engine.trees import files_below
from olive_build.errors import BundleError, OliveBuildError, ProofError
from olive_build.proof.figures import of_quality
from olive_build.proof.verdict import held, quality_gates
from olive_build.record.files import file_problem
from olive_build.record.manifest import ONNX, Manifest, Variant
from olive_build.record.proof import Gate, Proof, Quality, VariantProof
from olive_build.record.read import AGAIN, MANIFEST, PROOF, SEAL, Record, read_record, seal_holds

# On the machine that built it the same kernels run; seven digits are kept in the figures.
SAME_MACHINE_TOLERANCE = 1e-6
PUBLISHED = ("passed", "undecided")


@dataclass(frozen=True)
class VerifiedFile:
    """One model file that was run again: its figures and gates."""

    variant: str
    path: str
    figures: dict[str, Any]
    gates: tuple[Gate, ...]


def verify(folder: Path) -> tuple[VerifiedFile, ...]:
    """Re-hash all files, run every model on the stored references, and judge it again.

    Times, sizes of processes and what a build compared with other files are not measured again.
    Raises BundleError when a file is missing, added or changed, or when the client of the bundle's
    layout could not load it; ProofError when the proof contradicts itself or the manifest, when a
    model no longer holds its limits or, on the machine that built it, gives other figures than were
    recorded.
    """
    record = read_record(folder)
    manifest, proof = record.manifest, record.proof
    _check_seal(record)
    _check_files(manifest, folder)
    if manifest.training is None and is_for_client(manifest.target):
        require_layout(folder, folder)
    problems = list(contradictions(manifest, proof))
    if manifest.training:
        problems += training_problems(folder, manifest.training)
    results = []
    for name, variant in manifest.variants.items():
        proved = proof.variants[name]
        for role, files in _models(variant):
            if role not in proved.quality:
                problems.append(f"{name}: nothing is recorded of the quality of its {role} file")
                continue
            result = _run(record, name, files, proved.limits.figures)
            failed = [gate for gate in result.gates if gate.status == "failed"]
            problems += [f"{result.path}: {gate.text()}" for gate in failed]
            problems += _drift(result, proved.quality[role], record)
            results.append(result)
    if problems:
        raise ProofError(
            "the bundle does not do what its proof says",
            where=str(folder),
            why="\n".join(problems),
            hint="do not ship it; build it again, and find out who changed the file",
        )
    return tuple(results)


def _check_seal(record: Record) -> None:
    if seal_holds(record.folder, record.proof_sha256) is False:
        raise BundleError(
            f"{PROOF} is not the one that was sealed",
            where=str(record.folder / SEAL),
            why=f"{SEAL} has another digest than {PROOF}",
            hint=AGAIN,
        )


def _check_files(manifest: Manifest, folder: Path) -> None:
    listed = {item.path: item for item in manifest.files}
    named = {path for item in manifest.variants.values() for path in item.files.values()}
    problems = [f"{path}: not listed, but a variant's file" for path in sorted(named - set(listed))]
    found = (file_problem(folder, listed[path]) for path in sorted(listed))
    problems += [problem for problem in found if problem]
    there = {path.relative_to(folder).as_posix() for path in files_below(folder)}
    extra = sorted(there - set(listed) - {MANIFEST, PROOF, SEAL})
    problems += [f"{path}: not in the manifest" for path in extra]
    if problems:
        raise BundleError(
            "the bundle's files are not those of its manifest",
            where=str(folder),
            why="\n".join(problems),
            hint=AGAIN,
        )


def contradictions(manifest: Manifest, proof: Proof) -> Iterator[str]:
    """Yield what a proof says of a bundle and its manifest, or the proof itself, says otherwise.

    Nothing is run: whoever writes a proof by hand can make it agree with itself, and is found out
    by the files.
    """
    for name, proved in proof.variants.items():
        for problem in _contradictions(manifest, manifest.variants[name], proved):
            yield f"{name}: {problem}"


def _contradictions(manifest: Manifest, made: Variant, proved: VariantProof) -> Iterator[str]:
    """Yield what is recorded of a variant and does not agree, or would not have been published."""
    if proved.verdict not in PUBLISHED:
        yield f"its verdict is {proved.verdict!r}"
    for form, quality in proved.quality.items():
        gates = quality_gates(quality.figures, proved.limits.figures)
        if not any(math.isfinite(gate.limit) and gate.value is not None for gate in gates):
            yield f"no limit is set on the quality of its {form} file"
        for gate in gates:
            if gate.status == "failed" or not math.isfinite(gate.limit):
                yield f"recorded of its {form} file is {gate.text()}"
    if manifest.training is None:
        sizes = [manifest.sizes[path] for path in made.models.values()]
        size = max(sizes) if made.is_one_graph else sum(sizes)
        if proved.size_bytes != size:
            yield f"its files have {size} bytes, not {proved.size_bytes}"


def _models(variant: Variant) -> list[tuple[str, dict[str, str]]]:
    """Return what is run: each form of one graph, or several files together, which are `onnx`."""
    models = variant.models
    if not variant.is_one_graph:
        return [(ONNX, models)]
    return [(role, {role: path}) for role, path in models.items()]


def _run(
    record: Record, name: str, files: Mapping[str, str], limits: Mapping[str, float]
) -> VerifiedFile:
    from olive_build.proof.quality import measure_quality
    from olive_build.proof.reference import read_reference

    reference = read_reference(record.folder / "reference")
    path = ", ".join(files.values())
    try:
        figures = measure_quality(_opened(record, files), reference).as_json()
    except OliveBuildError as error:
        failed = held("runs", None, 1.0, "failed", f"{error.what}: {error.why}")
        return VerifiedFile(name, path, {}, (failed,))
    return VerifiedFile(name, path, figures, tuple(quality_gates(figures, limits)))


def _opened(record: Record, files: Mapping[str, str]) -> Any:
    """Return the path of a single file, or a session of several."""
    from olive_build.families import family_module
    from olive_build.families.registry import FAMILIES

    folder, model = record.folder, record.manifest.model
    paths = {role: folder / path for role, path in files.items()}
    if len(paths) == 1:
        return next(iter(paths.values()))
    parts = {name: folder / "reference" / f"{name}.onnx" for name in FAMILIES[model.family].parts}
    session = family_module(model.family, "session")
    return session.open_files(paths, folder, dict(model.options), parts)


def _drift(result: VerifiedFile, recorded: Quality, record: Record) -> list[str]:
    fingerprint = record.proof.machine.fingerprint
    if not result.figures or fingerprint != this_machine().fingerprint:
        return []
    was = recorded.figures
    return [
        f"{result.path}: {name} is {result.figures[name]:.7f}, recorded was {was[name]:.7f}"
        for name in of_quality()
        # Of a file that searches by itself, what its steps say was measured before it was composed.
        if name in was
        and name in result.figures
        and not abs(result.figures[name] - was[name]) <= SAME_MACHINE_TOLERANCE
    ]
