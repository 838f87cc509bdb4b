"""Check a published bundle again: every byte, what its proof says, and the quality of every model.

Of a training bundle the inference model is run, the checkpoint opened, and the optimizer's files
are read. That a step does what PyTorch's does takes the training toolchain: `verify --train`.

Needs onnxruntime and numpy, no torch: this is what a release pipeline or a recipient runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_build.bundle.graphs import merged, other_findings, other_graphs
from olive_build.bundle.judged_again import BEFORE, contradictions, looser
from olive_build.bundle.layouts.check import require_layout
from olive_build.bundle.measured_again import MeasuredAgain, measure_again
from olive_build.bundle.purpose import purpose_in
from olive_build.engine.machine import this_machine
from olive_build.errors import BundleError, ProofError
from olive_build.proof.figures import every, find, of_quality
from olive_build.proof.verdict import held, quality_gates
from olive_build.record.files import require_files
from olive_build.record.manifest import ONNX, Graph, Variant
from olive_build.record.proof import Gate, Quality, VariantProof
from olive_build.record.read import AGAIN, PROOF, SEAL, Record, read_record, seal_holds

# On the machine that built it the same kernels run; seven digits are kept in the figures.
SAME_MACHINE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class VerifiedFile:
    """One model file that was run again: its quality and gates."""

    variant: str
    path: str
    quality: Quality
    gates: tuple[Gate, ...]

    @property
    def figures(self) -> Mapping[str, float]:
        """Its figures, the worse of one by one and of batches; none where it does not run."""
        return self.quality.figures


@dataclass(frozen=True)
class Verified:
    """What was found of a bundle that holds.

    `remarks` are limits looser than those that this version ships; `not_verified` is what the
    bundle says and nobody can measure from it here.
    """

    record: Record
    files: tuple[VerifiedFile, ...]
    remarks: tuple[str, ...]
    not_verified: tuple[str, ...]


def verify(folder: Path) -> Verified:
    """Re-hash all files, run every model on the stored references, and judge all of it again.

    Raises BundleError when a file is missing, added or changed, when the proof is not the one that
    was sealed, when it has limits on figures that nothing here measures, or when the client of the
    bundle's layout could not load it; ProofError when gates, verdict or sizes do not follow from
    what is recorded, when a model no longer holds its limits or does not answer, or when it gives
    other figures than were recorded: by more than rounding on the machine that built it, by more
    than a figure's tolerance on another.
    """
    record = read_record(folder)
    manifest, proof = record.manifest, record.proof
    sealed = seal_holds(folder, record.proof_sha256)
    if sealed is False:
        raise BundleError(
            f"{PROOF} is not the one that was sealed",
            where=str(folder / SEAL),
            why=f"{SEAL} has another digest than {PROOF}",
            hint=AGAIN,
        )
    require_files(manifest, folder)
    _check_figures(record)
    purpose = purpose_in(manifest)
    if purpose.is_for_client(manifest.target):
        require_layout(folder, folder)
    problems = [*contradictions(manifest, proof), *purpose.problems(folder, manifest)]
    files, unlike, untold = _run_again(record)
    problems += unlike
    if problems:
        raise ProofError(
            "the bundle does not do what its proof says",
            where=str(folder),
            why="\n".join(problems),
            hint="do not ship it; build it again, and find out who changed the file",
        )
    unproved = [*untold, *_not_verified(record, is_sealed=bool(sealed))]
    return Verified(record, files, tuple(looser(manifest, proof)), tuple(unproved))


def _check_figures(record: Record) -> None:
    """Raise BundleError for limits on figures that are in no room here: none of them is derived."""
    held_to = {
        name: {*proved.limits.figures}
        | {gate.figure for gate in proved.gates if not gate.figure.startswith(BEFORE)}
        for name, proved in record.proof.variants.items()
    }
    unknown = {name: sorted(figures - {*every()}) for name, figures in held_to.items()}
    lines = [
        f"{name} is held to {', '.join(figures)}" for name, figures in unknown.items() if figures
    ]
    if lines:
        named = sorted(set().union(*unknown.values()))
        raise BundleError(
            f"this olive-build has no figure {' and no figure '.join(map(repr, named))}, so it "
            "cannot verify the bundle",
            where=str(record.folder),
            why="\n".join(lines),
            hint="verify with the program that built it, or a newer olive-build: a figure of an "
            "extension is only known where its folder is joined",
        )


def _run_again(record: Record) -> tuple[tuple[VerifiedFile, ...], list[str], list[str]]:
    """Return the files with their figures, what of them is wrong, and what they do not tell."""
    manifest, proof = record.manifest, record.proof
    asked = [
        (name, role, files)
        for name, variant in manifest.variants.items()
        for role, files in _models(variant)
    ]
    measured = measure_again(record.folder, manifest, [files for *_, files in asked])
    results, problems, untold = [], [], []
    graphs: dict[str, Graph] = {}
    for (name, role, files), found in zip(asked, measured, strict=True):
        proved, variant = proof.variants[name], manifest.variants[name]
        result = _judged(name, ", ".join(files.values()), found, proved)
        results.append(result)
        failed = [gate for gate in result.gates if gate.status == "failed"]
        problems += [f"{result.path}: {gate.text()}" for gate in failed]
        recorded = proved.quality.get(role, Quality())
        problems += _drift(result, recorded, record)
        lacking = [n for n in of_quality() if n in recorded.figures and n not in result.figures]
        if result.figures and lacking:
            untold.append(f"{result.path}: {', '.join(lacking)}, which it does not give by itself")
        unknown = sorted({*recorded.figures} - {*every(), *result.figures})
        if result.figures and unknown:
            untold.append(f"{result.path}: {', '.join(unknown)}, which this olive-build has not")
        if found.graphs:
            graphs[name] = merged(found.graphs)
            problems += (f"{name}: {line}" for line in other_graphs(variant, found.graphs))
    for name, variant in manifest.variants.items():
        if name not in graphs:
            untold.append(f"{name}: its operators, which a file in ORT format does not tell")
        graph = graphs.get(name, variant)
        errors, unlike = other_findings(manifest, graph, proof.variants[name])
        problems += (f"{name}: {line}" for line in errors)
        untold += (f"{name}: {line}" for line in unlike)
    return tuple(results), problems, untold


def _models(variant: Variant) -> list[tuple[str, dict[str, str]]]:
    """Return what is run: each form of one graph, or several files together, which are `onnx`."""
    models = variant.models
    if not variant.is_one_graph:
        return [(ONNX, models)]
    return [(role, {role: path}) for role, path in models.items()]


def _judged(name: str, path: str, found: MeasuredAgain, proved: VariantProof) -> VerifiedFile:
    if found.problem is not None:
        runs = held("runs", None, 1.0, "failed", found.problem)
        return VerifiedFile(name, path, found.quality, (runs,))
    gates = quality_gates(found.quality.figures, proved.limits.figures)
    return VerifiedFile(name, path, found.quality, tuple(gates))


def _drift(result: VerifiedFile, recorded: Quality, record: Record) -> Iterator[str]:
    """Yield the figures that are others than were recorded."""
    same_machine = record.proof.machine.fingerprint == this_machine().fingerprint
    for name, value in result.figures.items():
        # Of a file that searches by itself, what its steps say was measured before it was composed.
        was = recorded.figures.get(name)
        if was is None:
            continue
        known = find(name)
        is_same = abs(value - was) <= SAME_MACHINE_TOLERANCE
        if not (is_same if same_machine else known.is_near(value, was)):
            yield f"{result.path}: {name} is {value:.7f}, recorded was {was:.7f}"


def _not_verified(record: Record, *, is_sealed: bool) -> Iterator[str]:
    """Yield what the bundle says and cannot be measured from it here."""
    proofs = list(record.proof.variants.values())
    quality = [item for proof in proofs for item in proof.quality.values()]
    if not is_sealed:
        yield f"that {PROOF} is undamaged: it has no seal, as those of earlier versions"
    if any(item.latency or item.load or item.memory for item in proofs):
        yield "speed, time to load and memory"
    if any(item.against_fp32 for item in quality):
        yield "figures against the fp32 graph"
    if any(item.without_vnni for item in proofs):
        yield "figures on x86 processors without VNNI"
    if any(item.partition or item.mobile_usability for item in proofs):
        yield "into how many pieces a provider takes a graph, which is an estimate"
    if any(item.search for item in proofs):
        yield "what a search tried"
    if record.proof.previous:
        yield "what was lost against the build before"
    yield from purpose_in(record.manifest).unproved
    yield (
        "where the model comes from, its licence, how and with which tools the files were made, "
        "and what an application installs"
    )
