"""What `explain --quality` compares: two files, or what the cache still has of a bundle's build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from olive_build.engine.decide import Decisions
from olive_build.engine.fingerprint import to_fields
from olive_build.engine.graph import Node
from olive_build.engine.store import Store
from olive_build.errors import BundleError, OliveBuildError, UsageError
from olive_build.families.registry import FAMILIES
from olive_build.plan.types import BundlePlan, Plan, VariantPlan
from olive_build.prepare import plan_builds
from olive_build.recipe.suggest import listed
from olive_build.record.manifest import ONNX, Manifest
from olive_build.record.read import file_of, read_manifest
from olive_build.report.damage import StageView
from olive_build.select import Selection, select
from olive_build.steps.convert_ort import MODEL_NAME

if TYPE_CHECKING:
    import onnx

    from olive_build.attribution.damage import Measure
    from olive_build.attribution.samples import AnyReference
    from olive_build.attribution.session import Arrays

GENERATED_SAMPLES = 16
METHODS = "olive_build.methods."


@dataclass(frozen=True)
class Compared:
    """Two graphs, what they are run on, and what is known of the build that they come from.

    `quantize` are the recipe's settings of the variant, where there is a recipe.
    """

    labels: tuple[str, str]
    reference: onnx.ModelProto
    variant: onnx.ModelProto
    feeds: Sequence[Arrays]
    measure: Measure | None
    inputs: str
    stages: tuple[StageView, ...] = ()
    notes: tuple[str, ...] = ()
    variant_name: str | None = None
    quantize: Mapping[str, object] = field(default_factory=dict)

    @property
    def excluded(self) -> list[str]:
        """The layers that the recipe excludes already."""
        found = self.quantize.get("exclude")
        return [str(name) for name in found] if isinstance(found, list) else []


def compare_files(reference: Path, variant: Path, inputs: Path | None, samples: int) -> Compared:
    """Return two files with inputs from a third, or made up. Raises UsageError for bad ones."""
    from olive_build.attribution.inputs import generated_feeds, load_graph, read_feeds

    if reference.exists() and variant.exists() and reference.samefile(variant):
        raise UsageError(
            "both files are the same",
            where=str(reference),
            hint="give the fp32 file first and the variant second",
        )
    models = load_graph(reference), load_graph(variant)
    if inputs is not None:
        feeds: Sequence[Arrays] = read_feeds(inputs, models[0])[:samples]
        described = f"{len(feeds)} samples of {inputs}"
    else:
        feeds = generated_feeds(models[0], min(samples, GENERATED_SAMPLES))
        described = f"{len(feeds)} made-up samples; real ones by --inputs say more"
    return Compared((str(reference), str(variant)), *models, feeds, None, described)


def compare_bundle(folder: Path, variant: str | None, recipes: Path, samples: int) -> Compared:
    """Return the graphs around the quantizer of a bundle's variant, and the stages before.

    They come from the cache of steps; where it lacks them, the bundle's own fp32 variant is what
    the variant is compared with. Raises BundleError when there is neither, UsageError for a
    variant that the bundle does not have and for a family whose graphs are fed by one another.
    """
    from olive_build.attribution.samples import some_of
    from olive_build.proof.reference import read_reference

    manifest = read_manifest(folder)
    _require_layers(manifest.model.family, str(folder))
    precisions = {name: item.precision for name, item in manifest.variants.items()}
    name = _chosen(precisions, variant, str(folder))
    quantize = manifest.variants[name].quantize or {}
    reference = some_of(read_reference(folder / "reference"), samples)
    try:
        return _from_cache(manifest, name, recipes, reference, quantize)
    except OliveBuildError as missing:
        note = f"without the build's stages: {missing.what}"
        note += f" ({missing.why})" if missing.why else ""
    return _from_bundle(folder, manifest, name, reference, quantize, note)


def compare_build(selected: Selection, variant: str | None, samples: int) -> Compared:
    """Return the graphs around the quantizer of a recipe's variant, from the cache of steps.

    So a build is explained that was not published. Raises UsageError where the cache lacks it, and
    for what is not one target of one recipe.
    """
    from olive_build.attribution.samples import some_of
    from olive_build.proof.reference import read_reference

    requests = select(selected)
    if len(requests) != 1:
        raise UsageError(
            "explain --quality takes one target of one recipe",
            why=f"these were chosen: {listed(item.build.target for item in requests)}",
            hint="name it with --target",
        )
    (build,) = (request.build for request in requests)
    where = f"{build.recipe}, target {build.target}"
    _require_layers(build.family, where)
    with Store() as store:
        plan = plan_builds(requests, store, smoke=selected.smoke, report=lambda _: None)
        (bundle,) = plan.bundles
        precisions = {item.variant.name: item.variant.precision for item in bundle.variants}
        item = _variant_plan(bundle, _chosen(precisions, variant, where))
        steps = _Steps(plan, store)
        reference = some_of(read_reference(steps.folder(bundle.reference)), samples)
        method = item.variant.quantize
        return _of_steps(steps, item, reference, to_fields(method) if method else {})


def _require_layers(name: str, where: str) -> None:
    """Raise UsageError for models whose layers are inside a search, where nobody looks."""
    family = FAMILIES.get(name)
    if family is not None and not family.searches:
        raise UsageError(
            f"layers of a model of {family.name} cannot be judged",
            where=where,
            why=f"it is {listed(family.components)}, which are fed by one another",
            hint="`olive-build report` shows what each variant loses as a whole",
        )


def _chosen(precisions: Mapping[str, str], wanted: str | None, where: str) -> str:
    """Return the variant that was asked for, else the first that is not fp32."""
    if wanted is not None:
        if wanted in precisions:
            return wanted
        raise UsageError(
            f"there is no variant '{wanted}'",
            where=where,
            why=f"there are {', '.join(precisions)}",
        )
    lossy = [name for name, precision in precisions.items() if precision != "fp32"]
    if lossy:
        return lossy[0]
    raise UsageError(
        "nothing is quantized there",
        where=where,
        why=f"its precisions are {', '.join(precisions)}, all of fp32",
    )


def _from_bundle(
    folder: Path,
    manifest: Manifest,
    name: str,
    reference: AnyReference,
    quantize: Mapping[str, object],
    note: str,
) -> Compared:
    from olive_build.attribution.inputs import load_graph
    from olive_build.attribution.samples import ReferenceSamples

    variants = manifest.variants
    plain = [key for key, item in variants.items() if item.precision == "fp32"]
    if not plain or not all(ONNX in variants[key].files for key in (plain[0], name)):
        raise BundleError(
            f"the bundle alone does not say where '{name}' loses fidelity",
            where=str(folder),
            why=f"it holds no fp32 variant to compare with; {note}",
            hint="build it on this machine, or give two files: explain --quality FP32.onnx X.onnx",
        )
    paths = [file_of(folder, variants[key].files[ONNX]) for key in (plain[0], name)]
    models = load_graph(paths[0]), load_graph(paths[1])
    samples = ReferenceSamples(reference, models[0])
    return Compared(
        (str(paths[0]), str(paths[1])),
        *models,
        samples.feeds,
        samples.measure,
        _described(reference),
        notes=(note,),
        variant_name=name,
        quantize=quantize,
    )


def _described(reference: AnyReference) -> str:
    return f"{len(reference.expected)} {reference.samples} of the proof"


def _from_cache(
    manifest: Manifest,
    name: str,
    recipes: Path,
    reference: AnyReference,
    quantize: Mapping[str, object],
) -> Compared:
    """Return what the cache has of the variant's steps. Raises an error that says what it lacks."""
    from olive_build.report.bundle_recipe import plan_of_bundle

    words = manifest.recipe, manifest.target
    with Store() as store:
        plan = plan_of_bundle(*words, recipes, store, smoke=manifest.smoke)
        (bundle,) = plan.bundles
        item = _variant_plan(bundle, name)
        steps = _Steps(plan, store)
        steps.require_same(item, manifest, name)
        return _of_steps(steps, item, reference, quantize)


def _of_steps(
    steps: _Steps, item: VariantPlan, reference: AnyReference, quantize: Mapping[str, object]
) -> Compared:
    from olive_build.attribution.inputs import load_graph
    from olive_build.attribution.samples import ReferenceSamples

    chain = steps.chain(item.model)
    before, after = _around_quantizers(chain)
    paths = [steps.file(node) for node in (before, after)]
    models = load_graph(paths[0]), load_graph(paths[1])
    samples = ReferenceSamples(reference, models[0])
    return Compared(
        (f"{before.slot} (fp32)", after.slot),
        *models,
        samples.feeds,
        samples.measure,
        _described(reference),
        stages=tuple(_stage(node, steps, reference) for node in chain),
        variant_name=item.variant.name,
        quantize=quantize,
    )


def _variant_plan(bundle: BundlePlan, name: str) -> VariantPlan:
    for item in bundle.variants:
        if item.variant.name == name:
            return item
    raise UsageError(f"the recipe no longer has the variant '{name}'")


class _Steps:
    """The nodes of a plan, and where the cache has what they made."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._nodes = {node.id: node for node in plan.graph.nodes}
        self._decisions = Decisions(plan.graph, store, None, force=False)
        self._decisions.settle()

    def chain(self, last: str) -> list[Node]:
        """Return the nodes by which the graph came to be, the first one first."""
        found = [self._nodes[last]]
        while (source := dict(found[0].inputs).get("model")) in self._nodes:
            found.insert(0, self._nodes[source or ""])
        return found

    def file(self, node: Node) -> Path:
        """Return the model that a node made. Raises UsageError when the cache lacks it."""
        return self.folder(node.id) / MODEL_NAME

    def folder(self, id_: str) -> Path:
        """Return the folder that a node made. Raises UsageError when the cache lacks it."""
        if not self._decisions.usable(id_):
            raise UsageError(
                "the cache does not have what the build made",
                why=f"{self._nodes[id_].slot} is missing, or was made with other settings or tools",
                hint="build it again on this machine",
            )
        return Path(self._decisions.path(id_))

    def require_same(self, item: VariantPlan, manifest: Manifest, name: str) -> None:
        """Raise UsageError unless the cache's file is the bundle's."""
        self.file(self._nodes[item.model])
        artifact = self._decisions.states[item.model].artifact
        assert artifact is not None
        made = {entry.sha256 for entry in artifact.files}
        path = manifest.variants[name].files.get(ONNX)
        # Of weights beside a graph: a graph under another name has other bytes.
        names = manifest.beside(path) or (path,) if path is not None else ()
        if not {manifest.digests.get(name) for name in names} <= made:
            raise UsageError(
                "the cache has another build of this recipe",
                why=f"its {path} has other bytes than the bundle's",
                hint="build the bundle again on this machine",
            )


def _around_quantizers(chain: Sequence[Node]) -> tuple[Node, Node]:
    """Return the node before the first quantizer, and the last quantizer."""
    places = [
        place for place, node in enumerate(chain) if type(node.step).__module__.startswith(METHODS)
    ]
    if not places or not places[0]:
        raise UsageError(
            "no step of the build is a quantizer", why="an Olive pass of the recipe may be one"
        )
    return chain[places[0] - 1], chain[places[-1]]


def _stage(node: Node, steps: _Steps, reference: AnyReference) -> StageView:
    """Run what a step made on the references."""
    from olive_build.proof.quality import measure_quality

    name = node.slot.rpartition("/")[2]
    try:
        quality = measure_quality(steps.file(node), reference)
    except OliveBuildError as error:
        return StageView(name, problem=error.why or error.what)
    return StageView(name, quality.against_torch.worst)
