"""What a target's build is made of where it trains: the CPU, fp32, and a proof of its own."""

from __future__ import annotations

from typing import Any

from olive_build.proof.figures import shipped
from olive_build.recipe.build import Budgets, DataSource, Variant
from olive_build.recipe.codes import Code
from olive_build.recipe.context import Context
from olive_build.recipe.place import TRAIN, Place
from olive_build.recipe.training import personalisation_for, train_for
from olive_build.recipe.tree import KeyPath
from olive_build.targets import Provider, Target, load_provider

# What onnxruntime-training 1.19.2 loads: kMaxSupportedOpset and IR_VERSION of the onnx that it was
# built with. Its files have to load in it, wherever they are deployed.
HIGHEST_OPSET = 21
OPSET_BECAUSE = "onnxruntime-training 1.19.2, the last release, loads opset 21 and IR 10 at most"
# PyTorch's exporter writes 18 at least (torch/onnx/_internal/exporter/_constants.py), and leaves a
# model at 18 where it cannot be converted to what was asked for.
LOWEST_TRAINED_OPSET = 18
LOWEST_BECAUSE = "PyTorch's exporter writes opset 18 at least, and the graph is trained as exported"
# What the packages that train compute on; targets have one of them.
CPU_PROVIDERS = ("cpu", "wasm")
VARIANT = "inference"
METRIC = "logits"


def training_provider(context: Context, target: Target, chosen: Provider) -> Provider | None:
    """Return the provider that trains on a target; None where no package there does.

    Reports that, and another provider that the target's `provider` names.
    """
    own: KeyPath = ("targets", target.name)
    cpu = next((name for name in target.providers if name in CPU_PROVIDERS), None)
    if cpu is None or not target.training_packages:
        at = (*own, TRAIN) if context.written((*own, TRAIN)) else own
        context.add(
            Code.CANNOT_RUN,
            at,
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


def training_parts(place: Place) -> dict[str, Any]:
    """Return the fields of a TargetBuild that are decided otherwise where it trains."""
    budgets = Budgets.of(shipped((METRIC,), "fp32"))
    return {
        "attention": "plain",
        "compose": "none",
        "variants": (Variant(VARIANT, "fp32", None, "gated", None, budgets),),
        "passes": (),
        "data": DataSource(None, None),
        "calibration": DataSource(None, None),
        "metric": METRIC,
        "timing": False,
        "train": train_for(place, place.family),
        "personalisation": personalisation_for(place),
    }
