"""What a bundle's manifest is made of: the plan, and what the steps say of the graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from olive_build.bundle.layout import model_files
from olive_build.bundle.purpose import purpose_of
from olive_build.engine.fingerprint import ABSENT, tool_version
from olive_build.methods import Method
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.record.codec import encode
from olive_build.record.manifest import (
    File,
    Graph,
    Manifest,
    Model,
    Package,
    Runtime,
    Variant,
)
from olive_build.targets import load_provider

TOOLS = (
    "olive-ai",
    "torch",
    "transformers",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-extensions",
)


def manifest_of(
    bundle: BundlePlan,
    graphs: Mapping[str, Graph],
    files: tuple[File, ...],
    recorded: Mapping[str, Any],
    *,
    smoke: bool,
) -> Manifest:
    """Return the manifest; `graphs` says what each variant's files are.

    `recorded` are the fields that its purpose has.
    """
    build, model = bundle.build, bundle.model
    provider = load_provider(build.provider).execution_provider
    purpose = purpose_of(build)
    return Manifest(
        recipe=build.recipe,
        description=build.description,
        smoke=smoke,
        target=build.target,
        provider=build.provider,
        execution_provider=provider,
        status=purpose.status(build.target, build.provider),
        model=Model(
            family=build.family,
            origin=model.origin,
            revision=model.revision,
            digest=model.digest,
            licence=build.licence,
            options=build.recorded,
            adapter=model.adapter,
        ),
        variants={
            item.variant.name: _variant(bundle, item, graphs[item.variant.name])
            for item in bundle.variants
        },
        runtime=Runtime(
            provider,
            tuple(
                Package(item.name, item.ecosystem, item.lowest, item.why)
                for item in purpose.packages(bundle, graphs)
            ),
        ),
        tools=tool_versions() | purpose.tools(),
        files=files,
        **recorded,
    )


def _variant(bundle: BundlePlan, item: VariantPlan, graph: Graph) -> Variant:
    components = item.variant.components
    described = {field.name: getattr(graph, field.name) for field in fields(Graph)}
    return Variant(
        precision=item.variant.precision,
        quantize=_settings(item.variant.quantize),
        components={one.component: _settings(one.quantize) for one in components} or None,
        files={role: placed.path for role, placed in model_files(bundle, item).items()},
        # What is measured of a graph without running it stands in the proof.
        **{**described, "mobile_usability": None},
    )


def _settings(method: Method | None) -> Mapping[str, object] | None:
    return None if method is None else encode(asdict(method))


def tool_versions() -> dict[str, str]:
    """Return the versions of the tools whose work is in a bundle, and of this package."""
    found = {name: tool_version(name) for name in (*TOOLS, "olive-build")}
    return {name: version for name, version in found.items() if version != ABSENT}
