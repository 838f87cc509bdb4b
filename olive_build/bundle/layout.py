"""Which file of which artifact lies where in a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from olive_build.errors import PlanError
from olive_build.plan import BundlePlan, VariantPlan
from olive_build.steps.convert_ort import MODEL_NAME, ORT_MODEL, REQUIRED_OPERATORS

# What transformers.js appends to `model` for each dtype (src/utils/dtypes.js of
# huggingface/transformers.js 4.3).
CLIENT_SUFFIXES = {
    "fp32": "",
    "fp16": "_fp16",
    "q8": "_quantized",
    "int8": "_int8",
    "uint8": "_uint8",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "bnb4": "_bnb4",
}


@dataclass(frozen=True)
class Placed:
    """One file: where it lies in the bundle, and the node (None: the model's folder) and file."""

    path: str
    node: str | None
    file: str


def model_files(bundle: BundlePlan, variant: VariantPlan) -> dict[str, Placed]:
    """Return the files of one variant by role: onnx, ort, required_operators."""
    if bundle.build.layout == "transformers.js":
        return {"onnx": Placed(_client_path(variant), variant.model, MODEL_NAME)}
    folder = variant.variant.name
    files = {}
    if "onnx" in bundle.build.formats:
        files["onnx"] = Placed(f"{folder}/{MODEL_NAME}", variant.model, MODEL_NAME)
    if variant.ort:
        files["ort"] = Placed(f"{folder}/{ORT_MODEL}", variant.ort, ORT_MODEL)
        files["required_operators"] = Placed(
            f"{folder}/{REQUIRED_OPERATORS}", variant.ort, REQUIRED_OPERATORS
        )
    return files


def side_files(bundle: BundlePlan) -> list[Placed]:
    """Return the files that all variants share: configuration, tokenizer, references."""
    placed = [
        Placed(f"reference/{name}", bundle.reference, name)
        for name in ("reference.json", "reference.npz")
    ]
    facts = bundle.model.facts
    beside = facts.client_files if bundle.build.compose == "none" else facts.composed_files
    return placed + [Placed(name, None, name) for name in beside]


def _client_path(variant: VariantPlan) -> str:
    name = variant.variant.name
    if name not in CLIENT_SUFFIXES:
        raise PlanError(
            f"transformers.js has no name for the variant '{name}'",
            why="it asks for model<suffix>.onnx by dtype",
            hint=f"call the variant one of {', '.join(CLIENT_SUFFIXES)}",
        )
    return f"onnx/model{CLIENT_SUFFIXES[name]}.onnx"
