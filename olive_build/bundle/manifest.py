"""What a bundle's manifest is made of: the plan, and what the steps say of the graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version

from olive_build.bundle.layout import model_files
from olive_build.methods import Method
from olive_build.plan.measured import OWN_PROVIDER_RUNS
from olive_build.plan.types import BundlePlan, VariantPlan
from olive_build.record.codec import encode
from olive_build.record.manifest import (
    File,
    Graph,
    Manifest,
    Model,
    Package,
    Runtime,
    Training,
    Variant,
)
from olive_build.targets import Provider, RuntimePackage, load_provider, load_target
from olive_build.targets.requirement import required_packages, required_runtime, version_key
from olive_build.toolchains.provision import version_of

TRAINING_RUNTIME = "onnxruntime-training-cpu"
EXTENSIONS_DOMAIN = "ai.onnx.contrib"
TOOLS = (
    "olive-ai",
    "torch",
    "transformers",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-extensions",
)


def status_of(target: str, provider: str, *, trains: bool = False) -> str:
    """Say what was run where, in the words that a bundle carries."""
    if trains and target != OWN_PROVIDER_RUNS[0]:
        return "trained by onnxruntime-training on Linux, not yet on the device"
    if (target, provider) == OWN_PROVIDER_RUNS:
        return "proved: run by its own provider"
    if provider == "wasm":
        return "run by onnxruntime on the CPU, not yet in a browser"
    return "prepared, not run: checked statically, and run by onnxruntime on the CPU"


def manifest_of(
    bundle: BundlePlan,
    graphs: Mapping[str, Graph],
    files: tuple[File, ...],
    training: Training | None,
    *,
    smoke: bool,
) -> Manifest:
    """Return the manifest; `graphs` says what each variant's files are."""
    build, model = bundle.build, bundle.model
    provider = load_provider(build.provider)
    return Manifest(
        recipe=build.recipe,
        description=build.description,
        smoke=smoke,
        target=build.target,
        provider=build.provider,
        execution_provider=provider.execution_provider,
        status=status_of(build.target, build.provider, trains=training is not None),
        model=Model(
            family=build.family,
            origin=model.origin,
            revision=model.revision,
            digest=model.digest,
            licence=build.licence,
            options=build.recorded,
        ),
        variants={
            item.variant.name: _variant(bundle, item, graphs[item.variant.name])
            for item in bundle.variants
        },
        runtime=_runtime(bundle, provider, graphs),
        tools=tool_versions() | (training_tools() if training else {}),
        files=files,
        training=training,
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


def _runtime(bundle: BundlePlan, provider: Provider, graphs: Mapping[str, Graph]) -> Runtime:
    """Return what an application installs: for each package the lowest version for all variants."""
    target = load_target(bundle.build.target)
    if bundle.training:
        return _needing(provider, target.training_packages)
    lowest: dict[str, RuntimePackage] = {}
    for item in bundle.variants:
        graph = graphs[item.variant.name]
        needed = required_runtime(
            graph.operators,
            graph.opset,
            graph.ir_version,
            bits=min((getattr(method, "bits", 4) for method in item.variant.methods), default=4),
        )
        packages = required_packages(target, provider.name, needed)
        if EXTENSIONS_DOMAIN in graph.operators:
            packages += target.extension_packages
        for package in packages:
            known = lowest.get(package.name)
            if known is None or version_key(package.lowest) > version_key(known.lowest):
                lowest[package.name] = package
    return _needing(provider, lowest.values())


def _needing(provider: Provider, packages: Iterable[RuntimePackage]) -> Runtime:
    return Runtime(
        provider.execution_provider,
        tuple(Package(item.name, item.ecosystem, item.lowest, item.why) for item in packages),
    )


def tool_versions() -> dict[str, str]:
    """Return the versions of the tools whose work is in a bundle, and of this package."""
    found = {}
    for name in (*TOOLS, "olive-build"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def training_tools() -> dict[str, str]:
    """Return the version of the runtime that made and proved the artifacts."""
    return {TRAINING_RUNTIME: version_of("training", TRAINING_RUNTIME)}
