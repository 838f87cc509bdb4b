"""Which file of which artifact lies where in a bundle."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from olive_build.bundle.purpose import Placed, purpose_of
from olive_build.errors import PlanError
from olive_build.families.facts import SINGLE
from olive_build.families.registry import FAMILIES
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.record.manifest import ONNX, OPERATORS, ORT
from olive_build.steps.convert_ort import MODEL_NAME, ORT_MODEL, REQUIRED_OPERATORS

# What is written anew of a tokenizer.
OF_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
# The folder of the page, here and in a bundle.
DEMO = "demo"
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


def model_files(bundle: BundlePlan, variant: VariantPlan) -> dict[str, Placed]:
    """Return the files of one variant by role: onnx, ort, required_operators.

    Of several graphs each has its own name as its role.
    """
    files = {}
    for name, node in variant.graphs.items():
        role = ONNX if name == SINGLE else name
        if bundle.build.layout == "transformers.js":
            files[role] = Placed(_client_path(name, variant), node, MODEL_NAME)
        elif ONNX in variant.formats:
            files[role] = Placed(f"{variant.variant.name}/{name}.onnx", node, MODEL_NAME)
    folder = variant.variant.name
    if variant.ort:
        files[ORT] = Placed(f"{folder}/{ORT_MODEL}", variant.ort, ORT_MODEL)
        files[OPERATORS] = Placed(f"{folder}/{REQUIRED_OPERATORS}", variant.ort, REQUIRED_OPERATORS)
    return files


def side_files(bundle: BundlePlan) -> list[Placed]:
    """Return the files that all variants share: configuration, tokenizer, references."""
    purpose = purpose_of(bundle.build)
    placed = [Placed(f"reference/{name}", bundle.reference, name) for name in purpose.references]
    placed += [
        Placed(f"reference/{name}.onnx", node, MODEL_NAME) for name, node in bundle.parts.items()
    ]
    facts = bundle.model.facts
    whole = bundle.build.compose == "single-file"
    beside = facts.composed_files if whole else facts.client_files
    written = {} if whole else facts.written_for(dict(bundle.build.options))
    written = {**written, **purpose.written(bundle)}
    placed += [_beside(bundle, name) for name in beside if name not in written]
    placed += [Placed(name, None, name, content) for name, content in written.items()]
    return placed + _demo(bundle)


def _beside(bundle: BundlePlan, name: str) -> Placed:
    """Return a file of the model's, or of its tokenizer as the library reads it."""
    if bundle.tokenizer and name in OF_TOKENIZER:
        return Placed(name, bundle.tokenizer, name)
    settings = bundle.model.facts.tokenizer
    return Placed(name, None, str(PurePosixPath(settings.folder if settings else "", name)))


def _demo(bundle: BundlePlan) -> list[Placed]:
    """Return the page that `serve` shows; only the client in the browser has one."""
    tasks = FAMILIES[bundle.build.family].tasks
    if bundle.build.layout != "transformers.js" or "text-generation" not in tasks:
        return []
    return [
        Placed(f"{DEMO}/{path.name}", None, path.name, path.read_bytes())
        for path in sorted((Path(__file__).parent / DEMO).glob("[!.]*"))
    ]


def _client_path(file: str, variant: VariantPlan) -> str:
    name = variant.variant.name
    if name not in CLIENT_SUFFIXES:
        raise PlanError(
            f"transformers.js has no name for the variant '{name}'",
            why=f"it asks for {file}<suffix>.onnx by dtype",
            hint=f"call the variant one of {', '.join(CLIENT_SUFFIXES)}",
        )
    return f"onnx/{file}{CLIENT_SUFFIXES[name]}.onnx"
