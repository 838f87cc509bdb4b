"""Check a published bundle again: every byte, and the quality of every model by running it.

Of a training bundle the inference model is run, the checkpoint opened, and the optimizer's files
are read. That a step does what PyTorch's does takes the training toolchain: `verify --train`.

Needs onnxruntime and numpy, no torch: this is what a release pipeline or a recipient runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.bundle.contradictions import FORMS, contradictions
from olive_build.bundle.layout import models
from olive_build.bundle.layouts.check import is_for_client, require_layout
from olive_build.bundle.manifest import MANIFEST, MANIFEST_VERSION, PROOF, read_json, read_manifest
from olive_build.bundle.training_manifest import is_training
from olive_build.bundle.training_verify import training_problems
from olive_build.engine.machine import this_machine
from olive_build.engine.trees import files_below, sha256_of
from olive_build.errors import BundleError, OliveBuildError, ProofError
from olive_build.proof.figures import of_quality
from olive_build.proof.verdict import Gate, quality_gates
from olive_build.untrusted import Unreadable, plain_below

# On the machine that built it the same kernels run; seven digits are kept in the figures.
SAME_MACHINE_TOLERANCE = 1e-6


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
    manifest = read_manifest(folder)
    proof = read_json(folder / PROOF)
    _check_version(manifest, folder)
    _check_files(manifest, folder)
    _check_layout(manifest, folder)
    problems: list[str] = []
    results = []
    try:
        problems += contradictions(manifest, proof)
        if is_training(manifest):
            problems += training_problems(folder, manifest)
        for name, files, recorded, limits in _models(manifest, proof):
            result = _run(folder, name, files, manifest["model"], limits)
            failed = [gate for gate in result.gates if gate.status == "failed"]
            problems += [f"{result.path}: {gate.text()}" for gate in failed]
            problems += _drift(result, recorded, proof)
            results.append(result)
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            "the bundle's proof.json or manifest.json lacks what verifying needs",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            hint="build the bundle again",
        ) from error
    if problems:
        raise ProofError(
            "the bundle does not do what its proof says",
            where=str(folder),
            why="\n".join(problems),
            hint="do not ship it; build it again, and find out who changed the file",
        )
    return tuple(results)


def _check_version(manifest: dict[str, Any], folder: Path) -> None:
    found = manifest.get("manifest_version")
    if found != MANIFEST_VERSION:
        raise BundleError(
            f"the manifest's version is {found!r}",
            where=str(folder / MANIFEST),
            why=f"this olive-build reads version {MANIFEST_VERSION}",
            hint="verify with the olive-build that made the bundle",
        )


def _check_layout(manifest: dict[str, Any], folder: Path) -> None:
    if "training" not in manifest and is_for_client(manifest.get("target")):
        require_layout(folder, folder)


def _check_files(manifest: dict[str, Any], folder: Path) -> None:
    try:
        listed = {
            str(item["path"]): (item["sha256"], item["size_bytes"]) for item in manifest["files"]
        }
        named = {
            str(path) for item in manifest["variants"].values() for path in item["files"].values()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            "the manifest's list of files is damaged",
            where=str(folder / MANIFEST),
            why=f"{type(error).__name__}: {error}",
            hint="build or download the bundle again",
        ) from error
    if not manifest["variants"]:
        raise BundleError(
            "there is nothing to verify",
            where=str(folder / MANIFEST),
            why="the manifest names no variant, so nothing is proved",
            hint="build or download the bundle again",
        )
    problems = [f"{path}: not listed, but a variant's file" for path in sorted(named - set(listed))]
    for path, (sha256, size) in sorted(listed.items()):
        problems += _file_problem(folder, path, sha256, size)
    there = {path.relative_to(folder).as_posix() for path in files_below(folder)}
    extra = sorted(there - set(listed) - {MANIFEST, PROOF})
    problems += [f"{path}: not in the manifest" for path in extra]
    if problems:
        raise BundleError(
            "the bundle's files are not those of its manifest",
            where=str(folder),
            why="\n".join(problems),
            hint="build or download the bundle again",
        )


def _file_problem(folder: Path, path: str, sha256: str, size: int) -> list[str]:
    try:
        found = plain_below(folder, path)
        if found.stat().st_size != size:
            return [f"{path}: has {found.stat().st_size} bytes, not {size}"]
        return [] if sha256_of(found) == sha256 else [f"{path}: its bytes were changed"]
    except Unreadable as error:
        return [f"{path}: {error}"]
    except OSError:
        return [f"{path}: missing"]


def _models(
    manifest: dict[str, Any], proof: dict[str, Any]
) -> Iterator[tuple[str, dict[str, str], dict[str, Any], dict[str, float]]]:
    for name, variant in manifest["variants"].items():
        proved = proof["variants"][name]
        files = models(variant["files"])
        forms = [role for role in files if role in FORMS]
        for role in forms:
            yield name, {role: files[role]}, proved["quality"][role], proved["limits"]
        if not forms:
            yield name, files, proved["quality"]["onnx"], proved["limits"]


def _run(
    folder: Path, name: str, files: dict[str, str], model: dict[str, Any], limits: dict[str, float]
) -> VerifiedFile:
    from olive_build.proof.quality import measure_quality
    from olive_build.proof.reference import read_reference

    reference = read_reference(folder / "reference")
    path = ", ".join(files.values())
    try:
        figures = measure_quality(_opened(folder, files, model), reference).as_json()
    except OliveBuildError as error:
        failed = Gate("runs", None, 1.0, "failed", f"{error.what}: {error.why}")
        return VerifiedFile(name, path, {}, (failed,))
    return VerifiedFile(name, path, figures, tuple(quality_gates(figures, limits)))


def _opened(folder: Path, files: dict[str, str], model: dict[str, Any]) -> Any:
    """Return the path of a single file, or a session of several."""
    from olive_build.families import family_module
    from olive_build.families.registry import FAMILIES

    paths = {role: folder / path for role, path in files.items()}
    if set(paths) <= set(FORMS):
        return next(iter(paths.values()))
    family = model["family"]
    parts = {name: folder / "reference" / f"{name}.onnx" for name in FAMILIES[family].parts}
    session = family_module(family, "session")
    return session.open_files(paths, folder, model["options"], parts)


def _drift(result: VerifiedFile, recorded: dict[str, Any], proof: dict[str, Any]) -> list[str]:
    if not result.figures or proof["machine"]["fingerprint"] != this_machine().fingerprint:
        return []
    return [
        f"{result.path}: {name} is {result.figures[name]:.7f}, recorded was {recorded[name]:.7f}"
        for name in of_quality()
        # Of a file that searches by itself, what its steps say was measured before it was composed.
        if name in recorded
        and name in result.figures
        and not abs(result.figures[name] - recorded[name]) <= SAME_MACHINE_TOLERANCE
    ]
