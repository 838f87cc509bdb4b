"""Who is benchmarked: the files of bundles, and what they are held against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.engine.store import Store
from olive_build.errors import OliveBuildError, UsageError
from olive_build.families import module_of
from olive_build.families.registry import FAMILIES, Family
from olive_build.plan.types import Model, Plan
from olive_build.proof.contestant import Contestant, contestant_for
from olive_build.record.manifest import FORMS, Manifest
from olive_build.record.read import MANIFEST, file_of, read_manifest, require_own_weights
from olive_build.report.bundle_recipe import plan_of_bundle

PEER_CHILD = Path("benchmarks/peers/child.py")
KINDS = ("onnx", "openvino")


@dataclass(frozen=True)
class Field:
    """All contestants, the yardstick first, and what they are fed from."""

    contestants: tuple[Contestant, ...]
    family: Family
    model: Model


@dataclass(frozen=True)
class _Bundle:
    folder: Path
    manifest: Manifest
    files: dict[str, Path]

    @property
    def family(self) -> str:
        return self.manifest.model.family


def gather(
    bundles: Sequence[Path],
    against: Sequence[str],
    store: Store,
    *,
    recipes: Path,
    outputs: Path,
    model_roots: tuple[Path, ...] = (),
) -> Field:
    """Return the variants of the bundles and what `against` names, the yardstick first.

    Raises BundleError for what is no bundle, UsageError for bundles of several models and for an
    opponent that is not there.
    """
    found = [_read(folder) for folder in bundles]
    first, made = found[0], found[0].manifest
    if any(item.manifest.model.digest != made.model.digest for item in found):
        raise UsageError(
            "the bundles are of several models",
            where=", ".join(str(item.folder) for item in found),
            why="one input cannot be given to all",
            hint="name bundles of one recipe",
        )
    words = made.recipe, made.target, recipes
    plan = plan_of_bundle(*words, store, smoke=made.smoke, model_roots=model_roots)
    model = plan.bundles[0].model
    if model.digest != made.model.digest:
        raise UsageError(
            f"the recipe '{made.recipe}' builds another model than the bundle's",
            where=str(first.folder),
            why=f"the bundle's is {made.model.source}, the recipe's "
            f"{model.origin} {model.revision}".rstrip(),
            hint="build the bundle again",
        )
    own = [item for bundle in found for item in _variants(bundle, several=len(found) > 1)]
    others = [_opponent(name, first, plan, store, outputs) for name in dict.fromkeys(against)]
    return Field(_named_apart([*others, *own]), FAMILIES[first.family], model)


def _read(folder: Path) -> _Bundle:
    manifest = read_manifest(folder)
    if manifest.model.family not in FAMILIES:
        raise UsageError(
            f"the bundle is of the family {manifest.model.family!r:.60}, which is not known",
            where=str(folder / MANIFEST),
            hint="bench it with the olive-build that made it",
        )
    files = {}
    for name, item in manifest.variants.items():
        if not item.is_one_graph:
            raise UsageError(
                "a bundle whose variants are several files cannot be benched",
                where=str(folder),
                why=f"it is an application's code that runs {', '.join(item.models)} together",
                hint="bench a bundle with `compose: single-file` of the same recipe",
            )
        files[name] = file_of(
            folder, next(item.models[form] for form in FORMS if form in item.models)
        )
    return _Bundle(folder, manifest, files)


def _named_apart(contestants: Sequence[Contestant]) -> tuple[Contestant, ...]:
    names = [contestant.name for contestant in contestants]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two candidates are called '{name}'",
                hint="name each bundle and each opponent once",
            )
    return tuple(contestants)


def _variants(bundle: _Bundle, *, several: bool) -> list[Contestant]:
    prefix = f"{bundle.manifest.recipe}/{bundle.manifest.target}/" if several else ""
    for path in bundle.files.values():
        require_own_weights(path)
    return [
        contestant_for(prefix + name, path, module_of(bundle.family, "sample"))
        for name, path in bundle.files.items()
    ]


def _opponent(name: str, bundle: _Bundle, plan: Plan, store: Store, outputs: Path) -> Contestant:
    if name == "pytorch":
        return _pytorch(plan)
    sample = module_of(bundle.family, "sample")
    if name == "fp32":
        return contestant_for("fp32 graph", _fp32_graph(plan, store), sample)
    if Path(name).suffix in (".onnx", ".ort"):
        if not Path(name).is_file():
            raise UsageError(f"there is no file '{name}'", hint="--against takes a path to a model")
        return contestant_for(Path(name).name, Path(name), sample)
    return _peer(name, bundle, plan, outputs)


def _pytorch(plan: Plan) -> Contestant:
    """Return PyTorch eager, given what the bundle's first variant is given."""
    bundle = plan.bundles[0]
    composed, bare = FAMILIES[bundle.build.family].takes
    takes = composed if bundle.build.compose == "single-file" else bare
    return Contestant(
        "pytorch",
        f"pytorch-{takes}",
        bundle.model.folder,
        module_of(bundle.build.family, "torch_side"),
    )


def _fp32_graph(plan: Plan, store: Store) -> Path:
    """Return the file of the fp32 graph that the variants came from, made if it is not cached."""
    from olive_build.engine.run import run_graph
    from olive_build.steps.model_check import MODEL

    node = plan.bundles[0].variants[0].fp32
    outcome = run_graph(plan.graph, store, wanted={node})[node]
    if outcome.artifact is None:
        raise outcome.error or OliveBuildError("the fp32 graph could not be made")
    return outcome.artifact.path / MODEL


def _peer(name: str, bundle: _Bundle, plan: Plan, outputs: Path) -> Contestant:
    """Return a peer's own output, run in the environment that made it."""
    folder = outputs / "peers" / name / bundle.manifest.recipe
    peers = sorted(
        path.parent.parent.name for path in folder.parent.parent.glob("*/*/manifest.json")
    )
    if not (folder / "manifest.json").is_file():
        raise UsageError(
            f"nothing is known as '{name}' to bench against",
            where=str(folder),
            why=f"there are pytorch, fp32, files that end in .onnx or .ort"
            f"{', ' + ', '.join(dict.fromkeys(peers)) if peers else ''}",
            hint="`make bench-peers` makes the peers' own outputs",
        )
    if not PEER_CHILD.is_file():
        raise UsageError(
            f"{PEER_CHILD} is not here",
            why="a peer's output runs by that script in the peer's environment",
            hint="run the command in the project's own folder",
        )
    try:
        made = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        python, kind, model = made["python"], made["kind"], made["model"]
        shown = f"{made['peer']} ({made['version']})"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the manifest of the peer '{name}' cannot be read",
            where=str(folder / "manifest.json"),
            why=f"{type(error).__name__}: {error}",
            hint="`make bench-peers` writes it again",
        ) from error
    if kind not in KINDS or not Path(python).is_file() or not (folder / model).is_file():
        raise UsageError(
            f"the output of the peer '{name}' is not complete",
            where=str(folder),
            why=f"its kind is {kind!r}, its model {model!r}, its interpreter {python!r}",
            hint="`make bench-peers` makes it again",
        )
    return Contestant(
        shown,
        kind,
        str(folder / model),
        command=(python, str(PEER_CHILD.absolute())),
        more=_peer_fields(folder / model, plan.bundles[0].model),
    )


def _peer_fields(path: Path, model: Model) -> tuple[tuple[str, Any], ...]:
    fields = model.facts.peer_fields()
    if not fields:
        raise UsageError(
            "the peers' outputs are benched for text models only",
            hint="leave out the peer, or give the path of its .onnx file",
        )
    return (
        ("model", str(path)),
        ("tokenizer", str(Path(model.folder) / "tokenizer.json")),
        *fields,
    )
