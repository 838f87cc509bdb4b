"""manifest.json: what a bundle is. Deterministic: nothing measured, no time, no machine's path."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from olive_build.bundle.layout import model_files
from olive_build.errors import BundleError
from olive_build.plan.measured import OWN_PROVIDER_RUNS
from olive_build.plan.types import BundlePlan
from olive_build.recipe.sections.train import train_of
from olive_build.targets import Provider, RuntimePackage, load_provider, load_target
from olive_build.targets.requirement import required_packages, required_runtime, version_key
from olive_build.toolchains.provision import version_of
from olive_build.untrusted import plain_below, read_bytes, strange_below

MANIFEST = "manifest.json"
PROOF = "proof.json"
MANIFEST_VERSION = 1
# The largest manifest or proof that is read; those of this project have some 100 kB.
MOST_BYTES = 1 << 26
# What a recipe, a target, a provider and a variant may be called: these names become paths.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
SHOWN = 3
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


def manifest(
    bundle: BundlePlan,
    descriptions: Mapping[str, dict[str, Any]],
    files: list[dict[str, Any]],
    *,
    smoke: bool,
) -> dict[str, Any]:
    """Return the manifest; `descriptions` maps variants to what description.json holds."""
    build = bundle.build
    provider = load_provider(build.provider)
    return {
        "manifest_version": MANIFEST_VERSION,
        "recipe": build.recipe,
        "description": build.description,
        "smoke": smoke,
        "target": build.target,
        "provider": build.provider,
        "execution_provider": provider.execution_provider,
        "status": status_of(build.target, build.provider, trains=train_of(build) is not None),
        "model": {
            "family": build.family,
            "origin": bundle.model.origin,
            "revision": bundle.model.revision,
            "digest": bundle.model.digest,
            "licence": build.licence,
            "options": dict(build.options),
        },
        "variants": {
            item.variant.name: _variant(bundle, item, descriptions[item.variant.name])
            for item in bundle.variants
        },
        "runtime": _runtime(bundle, provider, descriptions),
        "tools": tool_versions() | (training_tools() if bundle.training else {}),
        "files": files,
    }


def _variant(bundle: BundlePlan, item: Any, description: dict[str, Any]) -> dict[str, Any]:
    method = item.variant.quantize
    return {
        "precision": item.variant.precision,
        "quantize": None if method is None else asdict(method),
        "files": {role: placed.path for role, placed in model_files(bundle, item).items()},
        **{key: value for key, value in description.items() if key != "mobile_usability"},
    }


def _runtime(
    bundle: BundlePlan, provider: Provider, descriptions: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return what an application installs: for each package the lowest version for all variants."""
    target = load_target(bundle.build.target)
    if bundle.training:
        trains = [_package(package) for package in target.training_packages]
        return {"execution_provider": provider.execution_provider, "packages": trains}
    lowest: dict[str, RuntimePackage] = {}
    for item in bundle.variants:
        description = descriptions[item.variant.name]
        needed = required_runtime(
            description["operators"],
            description["opsets"]["ai.onnx"],
            description["ir_version"],
            bits=getattr(item.variant.quantize, "bits", 4),
        )
        packages = required_packages(target, provider.name, needed)
        if EXTENSIONS_DOMAIN in description["operators"]:
            packages += target.extension_packages
        for package in packages:
            known = lowest.get(package.name)
            if known is None or version_key(package.lowest) > version_key(known.lowest):
                lowest[package.name] = package
    return {
        "execution_provider": provider.execution_provider,
        "packages": [_package(package) for package in lowest.values()],
    }


def _package(package: RuntimePackage) -> dict[str, str]:
    return {
        "name": package.name,
        "ecosystem": package.ecosystem,
        "lowest": package.lowest,
        "why": package.why,
    }


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


def to_bytes(data: Any) -> bytes:
    """Return JSON as it is written: sorted keys, two spaces, a newline at the end."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle that anybody may have made.

    Raises BundleError where there is none, where the folder holds anything but folders and plain
    files, and for a name that is none: it would become a path, or a recipe to be looked up.
    """
    found = read_json(folder / MANIFEST)
    if strange := strange_below(folder):
        raise BundleError(
            "the bundle holds what is no plain file",
            where=str(folder),
            why="\n".join(strange[:SHOWN])
            + f"\nand {len(strange) - SHOWN} more" * (len(strange) > SHOWN),
            hint="build or download the bundle again; copy files in place of links to them",
        )
    check_names(found, folder / MANIFEST)
    return found


def check_names(found: Mapping[str, Any], path: Path) -> None:
    """Raise BundleError where a name in a manifest could be more than a name."""
    variants = found.get("variants")
    named = [(key, found[key]) for key in ("recipe", "target", "provider") if key in found]
    named += [("variant", name) for name in variants] if isinstance(variants, dict) else []
    for what, name in named:
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise BundleError(
                f"the manifest's {what} has a name that is none",
                where=str(path),
                why="a name has small letters, digits and . _ - alone, since it becomes a path",
                hint="whoever made this bundle did not make it with olive-build: do not use it",
            )


def file_of(folder: Path, name: object) -> Path:
    """Return the path of a file that a manifest names.

    Raises BundleError where it is none, or lies elsewhere than in the bundle.
    """
    try:
        return plain_below(folder, str(name))
    except OSError as error:
        raise BundleError(
            "the manifest names what is no file of the bundle",
            where=str(folder / MANIFEST),
            why=f"{repr(name)[:100]}: {error.strerror or error}",
            hint="build or download the bundle again",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object. Raises BundleError when the file is missing or is none."""
    try:
        data = json.loads(read_bytes(path, MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(
            "this is no bundle",
            where=str(path.parent),
            why=f"there is no {path.name}",
            hint="give the folder that holds manifest.json, such as outputs/<recipe>/<target>",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(data, dict):
        raise _unreadable(path, "it is no object")
    return data


def _unreadable(path: Path, why: str) -> BundleError:
    return BundleError(
        f"{path.name} cannot be read", where=str(path), why=why, hint="build the bundle again"
    )
