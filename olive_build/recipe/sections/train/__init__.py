"""The section `train`: what a target's files go on learning, in place of variants for inference.

Families that train have it, and sections for inference say nothing beside it. What is built runs
on the CPU, in fp32, and has a proof of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from olive_build.families.registry import FAMILIES, Family, family_of_task
from olive_build.proof.figures import shipped
from olive_build.recipe.build import Budgets, DataSource, TargetBuild, Variant
from olive_build.recipe.diagnostics import Code
from olive_build.recipe.sections import Opsets, Owner
from olive_build.recipe.suggest import listed
from olive_build.targets import Provider, Target, load_provider
from olive_build.training.settings import Train

if TYPE_CHECKING:
    from olive_build.recipe.context import Context, Place
    from olive_build.recipe.fields import Strict
    from olive_build.recipe.tree import KeyPath
    from olive_build.record.manifest import Manifest
    from olive_build.record.proof import VariantProof

TRAIN = "train"
# What the packages that train compute on; targets have one of them.
CPU_PROVIDERS = ("cpu", "wasm")
VARIANT = "inference"
METRIC = "logits"
_FP32 = "what learns is fp32: quantized numbers have no gradients"
# The sections that a training bundle has no use for, and why.
IDLE: Mapping[str, str] = {
    "fuse": "fused operators have no gradients, so all of them stay plain",
    "compose": "the files take what the model takes; the application prepares it",
    "speech": "it is for models that transcribe",
    "generation": "it is for models that write",
    "components": "what learns is one graph, exported as it is",
    "variants": _FP32,
    "quantize": _FP32,
    "passes": "Olive's passes make graphs for inference, without gradients",
    "verify": "training has a proof of its own: losses, gradients and weights against PyTorch's",
}


@dataclass(frozen=True)
class Personalisation:
    """The recordings that a personalised model is tried on, and the shares of errors it may make.

    An application takes a voice for the owner's where its logit is above the other by more than
    `margin`.
    """

    trials: DataSource
    equal_error_rate: float
    margin: float
    errors_at_margin: float | None


@dataclass(frozen=True)
class Training(Owner):
    """What goes on learning on the device, and how; for families that train."""

    train: Train
    personalisation: Personalisation | None

    section: ClassVar[str] = TRAIN
    room: ClassVar[str] = "olive_build.training"
    # PyTorch's exporter writes 18 at least (torch/onnx/_internal/exporter/_constants.py), and
    # leaves a model at 18 where it cannot be converted to what was asked for. The highest are
    # kMaxSupportedOpset and IR_VERSION of the onnx that onnxruntime-training 1.19.2 was built
    # with: its files have to load in it, wherever they are deployed.
    opsets: ClassVar[Opsets] = Opsets(
        18,
        "PyTorch's exporter writes opset 18 at least, and the graph is trained as exported",
        21,
        "onnxruntime-training 1.19.2, the last release, loads opset 21 and IR 10 at most",
        "can be trained",
    )

    @classmethod
    def is_in(cls, manifest: Manifest) -> bool:
        return manifest.training is not None

    @classmethod
    def proves(cls, proof: VariantProof) -> bool:
        return proof.training is not None

    @classmethod
    def specs(cls) -> Mapping[str, type[Strict]]:
        from olive_build.recipe.sections.train import fields as read

        return {
            TRAIN: read.TrainSpec,
            "train.head": read.HeadSpec,
            "train.lora": read.LoraSpec,
            **{f"train.loss.{method}": spec for method, spec in read.LOSSES.items()},
            **{f"train.optimizer.{method}": spec for method, spec in read.OPTIMIZERS.items()},
            "train.personalisation": read.PersonalisationSpec,
            "train.personalisation.trials": read.TrialsSpec,
        }

    @classmethod
    def about(cls) -> str:
        files = "each target gets files that train beside the model"
        return f"What goes on learning on the device, and how: {files}. For families that train."

    @classmethod
    def wins(cls) -> str:
        own = "without one there, this target alone goes on learning."
        return f"Wins over the recipe's `train`, field by field; {own}"

    @classmethod
    def close_schema(cls, definitions: dict[str, Any]) -> None:
        from olive_build.recipe.sections.train import fields as read

        for spec, fields in read.LOWEST.items():
            for field, (word, lowest) in fields.items():
                entry = definitions[spec]["properties"][field]
                entry.get("anyOf", [entry])[0][word] = lowest
        definitions["AdamWSpec"]["properties"]["betas"] |= {"minItems": 2, "maxItems": 2}
        for spec, names in (("SgdSpec", read.NOT_IN_SGD), ("AdamWSpec", read.NOT_IN_ADAMW)):
            for name in names:
                entry = definitions[spec]["properties"][name]
                entry["const"] = entry["default"]

    @classmethod
    def check(cls, context: Context) -> Context:
        """Report a `train` that the family lacks or needs, and what says nothing beside it."""
        family = _family(context)
        if family is not None and not cls.speaks_to(family):
            return _refused(context, family)
        targets = context.recipe.targets
        own: list[KeyPath] = [
            ("targets", target, section)
            for target in targets
            if cls.owns(context, target)
            for section in IDLE
        ]
        everywhere = bool(targets) and all(cls.owns(context, name) for name in targets)
        common: list[KeyPath] = [(section,) for section in IDLE] if everywhere else []
        idle = [path for path in (*common, *own) if context.given(path)]
        for path in idle:
            _report_idle(context, path)
        return replace(context, dropped=context.dropped | frozenset(idle))

    @classmethod
    def provider(cls, context: Context, target: Target, chosen: Provider) -> Provider | None:
        own: KeyPath = ("targets", target.name)
        cpu = next((name for name in target.providers if name in CPU_PROVIDERS), None)
        if cpu is None or not target.training_packages:
            context.add(
                Code.CANNOT_RUN,
                (*own, TRAIN) if context.written((*own, TRAIN)) else own,
                f"no package for '{target.name}' can train",
                hint="remove the target; a recipe without `train` can build the model for it",
                notes=("training on devices runs on CPUs and in WebAssembly, and it has neither",),
                key=True,
            )
            return None
        if chosen.name != cpu and context.recipe.targets[target.name].provider is not None:
            context.add(
                Code.CANNOT_RUN,
                (*own, "provider"),
                f"training for '{target.name}' runs on '{cpu}', not on '{chosen.name}'",
                hint=f"remove it, or write `provider: {cpu}`",
                notes=("the packages that train have kernels for gradients on the CPU alone",),
            )
        return load_provider(cpu)

    @classmethod
    def parts(cls, place: Place) -> dict[str, Any]:
        from olive_build.recipe.sections.train.checks import personalisation_for, train_for

        budgets = Budgets.of(shipped((METRIC,), "fp32"))
        return {
            # The client in the browser does not train, so nothing is laid out for it.
            "layout": "mobile" if place.target.layout == "mobile" else "plain",
            "attention": "plain",
            "compose": "none",
            "variants": (Variant(VARIANT, "fp32", None, "gated", None, budgets),),
            "passes": (),
            "data": DataSource(None, None),
            "calibration": DataSource(None, None),
            "metric": METRIC,
            "timing": False,
            "sections": (cls(train_for(place), personalisation_for(place)),),
        }

    def options(self) -> dict[str, Any]:
        """Return nothing: its steps are given all of it."""
        return {}

    def patterns(self) -> Iterator[str]:
        yield from (*self.train.requires_grad, *self.train.frozen)
        yield from self.train.lora.modules if self.train.lora else ()
        yield from [self.train.head.replace] if self.train.head else []


def training_of(build: TargetBuild) -> Training:
    """Return what a target's files go on learning, of a build that does."""
    found = build.section(Training)
    assert found is not None, f"{build.recipe} for {build.target} does not train"
    return found


def _family(context: Context) -> Family | None:
    named = context.recipe.model
    both = named.family is not None and named.task is not None
    if both or ("model",) in context.dropped:
        return None  # reported where it is written
    return FAMILIES.get(named.family or "") or family_of_task(named.task or "")


def _refused(context: Context, family: Family) -> Context:
    """Report every `train` of a family that has none; return the context as if there were none."""
    recipe = context.recipe
    where: list[KeyPath] = [(TRAIN,)] if Training.in_recipe(recipe) is not None else []
    where += [
        ("targets", t, TRAIN) for t, spec in recipe.targets.items() if Training.in_recipe(spec)
    ]
    if not where:
        return context
    able = [name for name, spec in FAMILIES.items() if Training.speaks_to(spec)]
    for path in where:
        context.add(
            Code.CANNOT_RUN,
            path,
            f"models of {family.name} cannot be trained",
            hint="remove `train`",
            notes=(f"those that can: {listed(able)}",),
            key=True,
        )
    nothing = {TRAIN: None}
    targets = {name: spec.model_copy(update=nothing) for name, spec in recipe.targets.items()}
    return replace(context, recipe=recipe.model_copy(update={**nothing, "targets": targets}))


def _report_idle(context: Context, path: KeyPath) -> None:
    section = str(path[-1])
    places: list[KeyPath] = [(*path[:-1], TRAIN), (TRAIN,)]
    places += [("targets", target, TRAIN) for target in context.recipe.targets]
    context.add(
        Code.CONFLICT,
        path,
        f"`{section}` says nothing where `train` is",
        hint="remove it",
        notes=(IDLE[section],),
        key=True,
        also=(next(at for at in places if context.given(at)), "`train` is here"),
    )
