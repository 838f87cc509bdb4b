"""A training bundle on this machine, whose bytes are those of its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.bundle.manifest import MANIFEST, MANIFEST_VERSION, read_manifest
from olive_build.bundle.training_manifest import TrainingManifest, is_training, read_training
from olive_build.engine.trees import sha256_of
from olive_build.errors import BundleError, UsageError
from olive_build.untrusted import Unreadable, plain_below


@dataclass(frozen=True)
class TrainingBundle:
    """The bundle's folder and what its manifest says; `digests` has the training graphs' sha256."""

    folder: Path
    manifest: TrainingManifest
    digests: dict[str, str]

    @property
    def artifacts(self) -> Path:
        """The folder with the training graphs and the checkpoint."""
        return (self.folder / self.manifest.files["checkpoint"]).parent


def open_bundle(folder: Path) -> TrainingBundle:
    """Return the bundle after hashing every file that training uses.

    Raises UsageError for a bundle that is not for training, BundleError for none, for one of
    another version, or where a file is missing or changed.
    """
    found = read_manifest(folder)
    where = str(folder / MANIFEST)
    version = found.get("manifest_version")
    if version != MANIFEST_VERSION:
        raise BundleError(
            f"the manifest's version is {version!r}",
            where=where,
            why=f"this olive-build reads version {MANIFEST_VERSION}",
            hint="train with the olive-build that made the bundle, or build it again",
        )
    if not is_training(found):
        raise UsageError(
            "this bundle cannot be trained",
            where=str(folder),
            why="it holds a model for inference alone: its manifest has no section `training`",
            hint="give the bundle of a recipe that has a section `train`",
        )
    manifest = read_training(found, where)
    if manifest.form == "ort":
        raise UsageError(
            "this bundle holds its graphs in the ORT form alone",
            where=str(folder),
            why="the training runtime exports the trained model from an .onnx file",
            hint="build it with `formats: [onnx, ort]`, or train the bundle of another target",
        )
    used = [*manifest.graphs.values(), manifest.files["checkpoint"]]
    digests = _checked(folder, found, used)
    return TrainingBundle(folder, manifest, {path: digests[path] for path in used[:-1]})


def _checked(folder: Path, manifest: dict[str, Any], used: list[str]) -> dict[str, str]:
    """Return the digests of the files that training uses, by path: graphs, and those at the top."""
    try:
        listed = {str(i["path"]): (str(i["sha256"]), i["size_bytes"]) for i in manifest["files"]}
    except (KeyError, TypeError) as error:
        raise BundleError(
            "the manifest's list of files is damaged",
            where=str(folder / MANIFEST),
            why=f"{type(error).__name__}: {error}",
            hint="build or download the bundle again",
        ) from error
    # Reading examples takes the client's files: a tokenizer, a configuration.
    beside = [path for path in listed if "/" not in path and path.endswith(".json")]
    problems = [
        problem
        for path in (*used, *beside)
        if (problem := _problem(folder, path, listed.get(path)))
    ]
    if problems:
        raise BundleError(
            "the bundle's files are not those of its manifest",
            where=str(folder),
            why="\n".join(problems),
            hint="build or download the bundle again",
        )
    return {path: listed[path][0] for path in used}


def _problem(folder: Path, name: str, listed: tuple[str, int] | None) -> str | None:
    if listed is None:
        return f"{name}: not listed, but used for training"
    try:
        path = plain_below(folder, name)
        size = path.stat().st_size
        if size != listed[1]:
            return f"{name}: has {size} bytes, not {listed[1]}"
        return None if sha256_of(path) == listed[0] else f"{name}: its bytes were changed"
    except Unreadable as error:
        return f"{name}: {error}"
    except OSError:
        return f"{name}: missing"
