"""Recipes -> bundles: resolve, fetch, plan, run, judge, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from olive_build.bundle.assemble import Assembled, Judged, assemble
from olive_build.bundle.index import write_index
from olive_build.bundle.layouts.check import require_layout
from olive_build.bundle.publish import (
    DamagedSource,
    is_published,
    publish,
    remove_leftovers,
    require_replaceable,
)
from olive_build.bundle.purpose import purpose_of
from olive_build.engine.events import Event, Outcome, StepFinished
from olive_build.engine.graph import Node
from olive_build.engine.run import ignore, run_graph
from olive_build.engine.store import Artifact, Store
from olive_build.engine.trees import Stamps
from olive_build.errors import OliveBuildError, ProofError, StepError
from olive_build.families.registry import FAMILIES
from olive_build.plan import STAGES
from olive_build.plan.types import BundlePlan, Plan, Request, joined
from olive_build.prepare import plan_builds
from olive_build.proof.figures import of_quality, what_to_do
from olive_build.recipe.build import TargetBuild


@dataclass(frozen=True)
class Options:
    """How a build runs; what it builds is in the recipes."""

    outputs: Path
    jobs: int | None = None
    force: bool = False
    keep_going: bool = False
    until: str = "bundle"
    smoke: bool = False
    strict: bool = False


@dataclass(frozen=True)
class BundleResult:
    """What became of one target's bundle; `target` is "" for all those of a bad recipe."""

    recipe: str
    target: str
    status: str  # published | up to date | failed | not built
    folder: Path
    assembled: Assembled | None = None
    error: OliveBuildError | None = None
    lossy: tuple[str, ...] = ()
    """The variants whose quality failed, and whose layers `explain --quality` can judge."""

    @property
    def proofs(self) -> tuple[Judged, ...]:
        return self.assembled.variants if self.assembled else ()


@dataclass
class BuildReport:
    """All bundles of a build, and how its steps ended."""

    bundles: list[BundleResult] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, or the code of the worst failure."""
        return max((b.error.exit_code for b in self.bundles if b.error), default=0)


def build(
    requests: Sequence[Request],
    store: Store,
    options: Options,
    *,
    on_event: Callable[[Event], None] = ignore,
    report: Callable[[str], None],
) -> BuildReport:
    """Build all targets, and publish each that holds its budgets as soon as it is done.

    A failure of one target is in the report, not raised: the others go on under keep_going, and
    what was complete before the failure is published in any case. Of several recipes one that
    cannot be planned fails alone under keep_going. Raises the errors of loading and planning
    otherwise, and BundleError, before anything runs, for a folder that a bundle must not take the
    place of.
    """
    _require_room(requests, options)
    plan, unplanned = _planned(requests, store, options, report)
    bundles = _Bundles(plan, store, options, report)

    def take(event: Event) -> None:
        on_event(event)
        if isinstance(event, StepFinished):
            bundles.take(event.outcome)

    try:
        outcomes = run_graph(
            plan.graph,
            store,
            jobs=options.jobs,
            force=options.force,
            keep_going=options.keep_going,
            wanted=_wanted(plan, options.until),
            on_event=take,
        )
        result = BuildReport([*bundles.results(outcomes), *unplanned], outcomes)
    except BaseException:
        # Some bundles may have been published all the same.
        with suppress(OliveBuildError):
            _leave(store, options)
        raise
    _leave(store, options)
    return result


def _leave(store: Store, options: Options) -> None:
    """Write what is kept beside bundles and artifacts."""
    store.stamps.save()
    if options.until == "bundle" and options.outputs.is_dir():
        write_index(options.outputs)


def _planned(
    requests: Sequence[Request], store: Store, options: Options, report: Callable[[str], None]
) -> tuple[Plan, list[BundleResult]]:
    """Return the plan, and what became of the recipes that have none: under keep_going alone."""
    plan_of = partial(
        plan_builds,
        store=store,
        smoke=options.smoke,
        report=report,
        may_search=True,
        jobs=options.jobs,
    )
    recipes = dict.fromkeys(request.build.recipe for request in requests)
    if not options.keep_going or len(recipes) == 1:
        return plan_of(requests), []
    plans, unplanned = [], []
    for recipe in recipes:
        own = [request for request in requests if request.build.recipe == recipe]
        try:
            plans.append(plan_of(own))
        except OliveBuildError as error:
            report(f"{recipe} cannot be planned, and is left out: {error.what}")
            unplanned += [
                BundleResult(
                    recipe,
                    item.build.target,
                    "failed",
                    bundle_folder(item.build, options),
                    error=error,
                )
                for item in own
            ]
    return joined(plans), unplanned


def _require_room(requests: Sequence[Request], options: Options) -> None:
    if options.until == "bundle" and not options.keep_going:
        for request in requests:
            require_replaceable(bundle_folder(request.build, options))


def _wanted(plan: Plan, until: str) -> set[str]:
    wanted = {node for bundle in plan.bundles for node in bundle.nodes()}
    if until == "bundle":
        return wanted
    done = STAGES[: STAGES.index(until) + 1]
    return {node.id for node in plan.graph.nodes if _stage(node) in done}


def _stage(node: Node) -> str:
    """Return the stage that a step belongs to; of a pass of the recipe its slot names it."""
    return node.step.stage or node.slot.rpartition("/")[2].partition("-")[0]


def bundle_folder(build_: TargetBuild, options: Options) -> Path:
    """Return where a target's bundle is published."""
    root = options.outputs / "smoke" if options.smoke else options.outputs
    return root / build_.recipe / build_.target


class _Bundles:
    """The bundles of a plan: each is judged and published when the last of its steps is done."""

    def __init__(
        self, plan: Plan, store: Store, options: Options, report: Callable[[str], None]
    ) -> None:
        self._plan, self._store, self._options, self._report = plan, store, options, report
        self._nodes = [bundle.nodes() for bundle in plan.bundles]
        self._artifacts: dict[str, Artifact] = {}
        self._done: dict[int, BundleResult] = {}
        self._damaged: set[str] = set()

    def take(self, outcome: Outcome) -> None:
        """Note how a step ended, and finish the bundles that lacked nothing else."""
        if outcome.artifact is None or self._options.until != "bundle":
            return
        # A step may end twice: what was made of its first result is then made again.
        again = self._artifacts.get(outcome.id) not in (None, outcome.artifact)
        self._artifacts[outcome.id] = outcome.artifact
        for number, nodes in enumerate(self._nodes):
            lacks = number not in self._done or again
            if lacks and outcome.id in nodes and nodes <= self._artifacts.keys():
                self._done[number] = found = self._finish(self._plan.bundles[number])
                if found.status == "published" and len(self._done) < len(self._nodes):
                    self._report(f"published: {found.folder}")

    def results(self, outcomes: Mapping[str, Outcome]) -> list[BundleResult]:
        """Return what became of each bundle, in the order of the plan.

        What was found damaged is set aside now that no step reads the store.
        """
        if self._damaged:
            with self._store.writing(), self._store.exclusively():
                for digest in self._damaged:
                    self._store.set_aside(digest)
        return [
            self._done.get(number) or self._unfinished(bundle, outcomes)
            for number, bundle in enumerate(self._plan.bundles)
        ]

    def _finish(self, bundle: BundlePlan) -> BundleResult:
        recipe, target = bundle.build.recipe, bundle.build.target
        folder = bundle_folder(bundle.build, self._options)
        where, strict = f"{recipe}, target {target}", self._options.strict
        artifacts = {node: self._artifacts[node] for node in bundle.nodes()}
        try:
            smoke = self._options.smoke
            assembled = assemble(bundle, artifacts, smoke=smoke, published=folder)
            error = out_of_budget(where, assembled, strict=strict)
            if error:
                lossy = tuple(_lossy(bundle, assembled))
                return BundleResult(recipe, target, "failed", folder, assembled, error, lossy)
            status = _publish(folder, assembled, self._store.stamps, bundle)
        except OliveBuildError as failure:
            if isinstance(failure, DamagedSource):
                path = Path(failure.where or "")
                self._damaged |= {
                    item.digest for item in artifacts.values() if path.is_relative_to(item.path)
                }
            return BundleResult(recipe, target, "failed", folder, error=failure)
        return BundleResult(recipe, target, status, folder, assembled)

    def _unfinished(self, bundle: BundlePlan, outcomes: Mapping[str, Outcome]) -> BundleResult:
        error = _first_error(bundle, outcomes)
        build = bundle.build
        status, folder = "failed" if error else "not built", bundle_folder(build, self._options)
        return BundleResult(build.recipe, build.target, status, folder, error=error)


def _lossy(bundle: BundlePlan, assembled: Assembled) -> Iterator[str]:
    quality = {*of_quality(), "regression of quality"}
    judges_layers = FAMILIES[bundle.build.family].searches
    for item, judged in zip(bundle.variants, assembled.variants, strict=True):
        lost = any(gate.figure in quality for gate in judged.proof.failed)
        if lost and judges_layers and len(item.graphs) == 1 and item.model != item.fp32:
            yield judged.name


def _first_error(bundle: BundlePlan, outcomes: Mapping[str, Outcome]) -> OliveBuildError | None:
    """Return why the bundle has no artifacts: its own failed step, or the one that stopped all."""
    ended = [outcomes[node] for node in bundle.nodes() if node in outcomes]
    blocked = {outcome.blocked_by for outcome in ended if outcome.blocked_by}
    for outcome in outcomes.values():
        if outcome.error and (outcome in ended or outcome.slot in blocked):
            return outcome.error
    if any(outcome.status == "not started" for outcome in ended):
        return StepError(
            "not built, since another target failed",
            where=f"{bundle.build.recipe}, target {bundle.build.target}",
            hint="--keep-going builds the others all the same",
        )
    return None


def out_of_budget(where: str, assembled: Assembled, *, strict: bool) -> ProofError | None:
    """Return why the bundle must not be published; `strict` counts what noise left open."""
    lines = [
        f"{item.name}: {problem}" for item in assembled.variants for problem in item.proof.problems
    ]
    if not lines and strict:
        return _undecided(where, assembled)
    if not lines:
        return None
    return ProofError(
        "the bundle is out of its budgets and was not published",
        where=where,
        why="\n".join(lines),
        hint=what_to_do({gate.figure for item in assembled.variants for gate in item.proof.failed})
        or "choose another method or exclude what is hurt most; if the loss is acceptable, "
        "loosen verify.budgets in the recipe; a variant that may be slower says so with "
        "`speed: any` and a reason",
    )


def _undecided(where: str, assembled: Assembled) -> ProofError | None:
    lines = [
        f"{item.name}: {gate.text()}"
        for item in assembled.variants
        for gate in item.proof.undecided
    ]
    if not lines:
        return None
    return ProofError(
        "the measurement could not decide whether the bundle is in its budgets, so it was not "
        "published",
        where=where,
        why="\n".join(lines),
        hint="build with --force on a machine that does nothing else, move the limit away from "
        "the figure, or leave out --strict",
    )


def _publish(folder: Path, assembled: Assembled, stamps: Stamps, bundle: BundlePlan) -> str:
    def digest(path: Path) -> str:
        return stamps.digest(path).sha256

    remove_leftovers(folder)
    if is_published(folder, assembled.files, assembled.manifest, assembled.proof, digest):
        return "up to date"
    for_client = purpose_of(bundle.build).is_for_client(bundle.build.target)
    check = partial(require_layout, shown=folder) if for_client else None
    publish(folder, assembled.files, assembled.manifest, assembled.proof, check)
    return "published"
