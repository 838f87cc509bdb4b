"""A training bundle on this machine, whose bytes are those of its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from olive_build.errors import BundleError, UsageError
from olive_build.families.registry import FAMILIES
from olive_build.record.files import file_problem
from olive_build.record.manifest import ORT, Manifest, Training
from olive_build.record.read import AGAIN, MANIFEST, read_manifest


@dataclass(frozen=True)
class TrainingBundle:
    """The bundle's folder and what its manifest says; `digests` has the training graphs' sha256."""

    folder: Path
    manifest: Manifest
    training: Training
    digests: dict[str, str]

    @property
    def artifacts(self) -> Path:
        """The folder with the training graphs and the checkpoint."""
        return (self.folder / self.training.checkpoint).parent


def open_bundle(folder: Path) -> TrainingBundle:
    """Return the bundle after hashing every file that training uses.

    Raises UsageError for a bundle that is not for training, BundleError for none, for one of
    another version, or where a file is missing or changed.
    """
    manifest = read_manifest(folder)
    training = manifest.training
    if training is None:
        raise UsageError(
            "this bundle cannot be trained",
            where=str(folder),
            why="it holds a model for inference alone: its manifest has no section `training`",
            hint="give the bundle of a recipe that has a section `train`",
        )
    check_family(manifest, folder)
    if training.form == ORT:
        raise UsageError(
            "this bundle holds its graphs in the ORT form alone",
            where=str(folder),
            why="the training runtime exports the trained model from an .onnx file",
            hint="build it with `formats: [onnx, ort]`, or train the bundle of another target",
        )
    graphs = list(training.graphs.values())
    _check_files(folder, manifest, [*graphs, training.checkpoint])
    return TrainingBundle(
        folder, manifest, training, {path: manifest.digests[path] for path in graphs}
    )


def check_family(manifest: Manifest, folder: Path) -> None:
    """Raise BundleError where the bundle's family is none that trains."""
    family = manifest.model.family
    if family not in FAMILIES or "train" not in FAMILIES[family].options:
        raise BundleError(
            f"{MANIFEST} is damaged",
            where=str(folder / MANIFEST),
            why=f"model.family: there is no family {family!r:.60} that trains",
            hint=AGAIN,
        )


def _check_files(folder: Path, manifest: Manifest, used: list[str]) -> None:
    """Raise BundleError where what training uses, or lies at the top, is not as it is listed."""
    listed = {item.path: item for item in manifest.files}
    # Reading examples takes the client's files: a tokenizer, a configuration.
    beside = [path for path in listed if "/" not in path and path.endswith(".json")]
    problems = [
        file_problem(folder, listed[path])
        if path in listed
        else f"{path}: not listed, but used for training"
        for path in (*used, *beside)
    ]
    if found := [problem for problem in problems if problem]:
        raise BundleError(
            "the bundle's files are not those of its manifest",
            where=str(folder),
            why="\n".join(found),
            hint=AGAIN,
        )
