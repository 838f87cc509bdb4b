"""What a bundle is for: to be run, or what a section of the recipe has built in place of that.

Whatever is otherwise in such a bundle is a method here: the files beside its variants, its gates,
its part of the record, its README, and what `verify` looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from olive_build import rooms
from olive_build.bundle.app_code import loading_code
from olive_build.bundle.layouts.check import is_for_client
from olive_build.engine.store import Artifact
from olive_build.errors import UsageError
from olive_build.families.facts import Facts
from olive_build.families.registry import FAMILIES
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.proof.figures import shipped
from olive_build.proof.verdict import gates_of, gates_on_quality
from olive_build.recipe.build import TargetBuild
from olive_build.recipe.sections import Owner, owners
from olive_build.record.manifest import Graph, Manifest, Variant
from olive_build.record.proof import Gate, Limits, VariantProof
from olive_build.targets import RuntimePackage, load_provider, load_target
from olive_build.targets.requirement import required_packages, required_runtime, version_key

EXTENSIONS_DOMAIN = "ai.onnx.contrib"
SLOWDOWN, FP32 = "slowdown", "fp32"
Artifacts = Mapping[str, Artifact]


@dataclass(frozen=True)
class Placed:
    """One file: where it lies in the bundle, and the node (None: the model's folder) and file.

    What is written for the bundle, and is no file of the model's, has its `content` here.
    """

    path: str
    node: str | None
    file: str
    content: bytes | None = None


class Purpose:
    """To be run. A section that owns what is built has a `PURPOSE` of its own in its `bundling`."""

    references: ClassVar[tuple[str, ...]] = ("reference.json", "reference.npz")
    """The files of the reference that a bundle keeps."""
    newer: ClassVar[str] = " or newer"
    """Which versions of the packages do beside the lowest."""
    verifying: ClassVar[str] = (
        "`olive-build verify <this folder>` reads every byte and measures the quality of each "
        "model again. It measures neither speed nor memory: those are the build's own, in "
        "`proof.json`."
    )
    verified: ClassVar[str] = "every byte, and the quality of each model by running it again"
    """What `verify` did."""
    unproved: ClassVar[tuple[str, ...]] = ()
    """What `verify` cannot measure of such a bundle alone."""
    repeated: ClassVar[str] = ""
    """What `repeat` did."""
    unrepeated: ClassVar[tuple[str, ...]] = ()
    """What is not verified unless steps are repeated."""
    bench: ClassVar[str] = ""
    """The module that benches such bundles by themselves; "" where they are run side by side."""

    def is_for_client(self, target: str) -> bool:
        """Return whether the client of the target's layout loads it."""
        return is_for_client(target)

    def placed(self, bundle: BundlePlan) -> dict[str, Placed]:
        """Return the files beside those of the variants, by role."""
        return {}

    def written(self, bundle: BundlePlan) -> dict[str, bytes]:
        """Return the files of the model's that are others in the bundle."""
        return {}

    def recorded(self, bundle: BundlePlan, artifacts: Artifacts) -> dict[str, Any]:
        """Return the fields of the manifest that it has."""
        return {}

    def status(self, target: str, provider: str) -> str:
        """Return what was run where, in the words of a bundle."""
        if load_target(target).runs_here(provider):
            return "proved: run by its own provider"
        if provider == "wasm":
            return "run by onnxruntime on the CPU, not yet in a browser"
        return "prepared, not run: checked statically, and run by onnxruntime on the CPU"

    def tools(self) -> dict[str, str]:
        """Return the versions of the tools that no other bundle is made with."""
        return {}

    def packages(self, bundle: BundlePlan, graphs: Mapping[str, Graph]) -> Iterable[RuntimePackage]:
        """Return what an application installs: the lowest versions for all variants."""
        build, target = bundle.build, load_target(bundle.build.target)
        lowest: dict[str, RuntimePackage] = {}
        for item in bundle.variants:
            graph = graphs[item.variant.name]
            needed = required_runtime(
                graph.operators,
                graph.opset,
                graph.ir_version,
                bits=min((getattr(m, "bits", 4) for m in item.variant.methods), default=4),
            )
            packages = required_packages(target, build.provider, needed)
            if EXTENSIONS_DOMAIN in graph.operators:
                packages += target.extension_packages
            for package in packages:
                known = lowest.get(package.name)
                if known is None or version_key(package.lowest) > version_key(known.lowest):
                    lowest[package.name] = package
        return lowest.values()

    def judged(
        self,
        bundle: BundlePlan,
        item: VariantPlan,
        proof: VariantProof,
        artifacts: Artifacts,
        *,
        smoke: bool,
    ) -> VariantProof:
        """Return a variant's proof with its gates.

        A miniature's size and speed say nothing of the model's, so `smoke` judges quality alone, by
        the shipped floors.
        """
        build, variant = bundle.build, item.variant
        if smoke:
            floors = shipped(FAMILIES[build.family].metrics, variant.precision)
            proof = replace(proof, limits=Limits(floors))
            return replace(proof, gates=tuple(gates_on_quality(proof)))
        gates = gates_of(
            proof,
            is_fp32_graph=item.graphs == item.fp32_graphs,
            waived=variant.because if variant.speed == "any" else None,
            absent=_why_not_timed(build),
        )
        return replace(proof, gates=tuple(gates))

    def gates_again(
        self, manifest: Manifest, made: Variant, proved: VariantProof
    ) -> Iterable[Gate]:
        """Return the gates that follow from what a proof records."""
        if manifest.smoke:
            return gates_on_quality(proved)
        speed = next((gate for gate in proved.gates if gate.figure == SLOWDOWN), None)
        waived = speed.note if speed and speed.status == "waived" else None
        is_fp32_graph = speed is None and made.precision == FP32
        return gates_of(proved, is_fp32_graph=is_fp32_graph, waived=waived, absent="")

    def size(self, manifest: Manifest, made: Variant) -> int:
        """Return the bytes that are told of a variant: the forms of one graph stand for each other.

        Several graphs are loaded together.
        """
        found = [manifest.loaded_bytes(path) for path in made.models.values()]
        return max(found) if made.is_one_graph else sum(found)

    def floors(self, manifest: Manifest, variant: str) -> dict[str, float]:
        """Return the limits of quality that this version ships for a variant."""
        family = FAMILIES.get(manifest.model.family)
        if family is None:
            return {}
        # A miniature is held to the limits of its precision, whatever its variants are called.
        name = "" if manifest.smoke else variant
        return shipped(family.metrics, manifest.variants[variant].precision, name)

    def problems(self, folder: Path, manifest: Manifest) -> list[str]:
        """Return a line for each thing that is wrong with what lies beside the variants."""
        return []

    def repeat(self, folder: Path) -> tuple[Gate, ...]:
        """Take steps of the build again, and return their gates; raise ProofError where they fail.

        Raises UsageError where there are none.
        """
        raise UsageError(
            "--train is for training bundles",
            where=str(folder),
            why="this one holds models for inference alone",
            hint="verify it without --train",
        )

    def repeated_as_json(self, gates: Sequence[Gate]) -> dict[str, object] | None:
        """Return what became of such steps, for a pipeline; None where there are none."""
        return None

    def quality(self, proof: VariantProof) -> str:
        """Return what is told of a variant's quality; "" where its figures say it."""
        return ""

    def cost(self, proof: VariantProof) -> str:
        """Return what is told of a variant's speed; "" where its ratios say it."""
        return ""

    def settings(self, manifest: Manifest, other: Manifest) -> dict[str, dict[str, Any]]:
        """Return what it is made with, by title and name, as it is compared with another's."""
        return {}

    def figures(self, proof: VariantProof) -> dict[str, dict[str, Any]]:
        """Return what was measured beside quality and cost, by title and name, to compare it."""
        return {}

    def code(self, manifest: Manifest, facts: Facts) -> list[str]:
        """Return the sections of the README's code."""
        return loading_code(manifest, facts)

    def told(self, manifest: Manifest) -> list[str]:
        """Return the README's lines on what lies beside the variants."""
        return []


def purpose_of(build: TargetBuild) -> Purpose:
    """Return what a build's bundle is for."""
    return _first(iter((type(build.owner),) if build.owner else ()))


def purpose_in(manifest: Manifest) -> Purpose:
    """Return what a bundle that was read is for."""
    return _first(owner for owner in owners() if owner.is_in(manifest))


def purpose_proved(proof: VariantProof) -> Purpose:
    """Return what a variant was proved for."""
    return _first(owner for owner in owners() if owner.proves(proof))


def _first(found: Iterator[type[Owner]]) -> Purpose:
    owner = next(found, None)
    return _purpose(owner) if owner else Purpose()


def _purpose(owner: type[Owner]) -> Purpose:
    found: Purpose = rooms.look_up(f"{owner.room}.bundling").PURPOSE
    return found


def _why_not_timed(build: TargetBuild) -> str:
    if not load_target(build.target).runs_here(build.provider):
        return f"{load_provider(build.provider).title} for {build.target} is not on this machine"
    return "" if build.timing else "the recipe says verify.timing: false"
