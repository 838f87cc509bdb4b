"""Check a folder against what transformers.js asks for; no weights are loaded, nothing is run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.bundle.layouts.cache import check_cache
from olive_build.bundle.layouts.companion_files import check_companion_files
from olive_build.bundle.layouts.configuration import CONFIG, Settings, check_settings
from olive_build.bundle.layouts.external_data import check_external_data
from olive_build.bundle.layouts.findings import Code, Finding, by_severity
from olive_build.bundle.layouts.folder import MODELS, ModelFolder
from olive_build.bundle.layouts.interface import Graph, check_hand_over, check_interface
from olive_build.bundle.layouts.kinds import (
    DECODER,
    FEATURE_EXTRACTION,
    KINDS,
    OTHER,
    TEXT_GENERATION,
    Kind,
    check_kind,
    kind_of,
)
from olive_build.bundle.layouts.model_files import check_sizes, read_models
from olive_build.bundle.layouts.operators import check_format, check_operators
from olive_build.bundle.layouts.requests import (
    Present,
    Request,
    check_names,
    check_requests,
    present_models,
    requests_of,
)
from olive_build.errors import BundleError
from olive_build.record.read import is_bundle, read_manifest
from olive_build.targets import load_target, target_names
from olive_build.targets.client import LAYOUT, Client, load_client


@dataclass(frozen=True)
class LayoutReport:
    """What the client asks for in a folder, and what was found. `kind` is a task of the client."""

    path: Path
    client: str
    kind: str
    requests: tuple[Request, ...]
    present: frozenset[str]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many findings keep the folder from working."""
        return sum(finding.severity == "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "layout": LAYOUT,
            "client": self.client,
            "kind": self.kind,
            "ok": not self.errors,
            "requests": [
                {
                    "device": request.device.name,
                    "default": request.default,
                    "dtype": request.dtype,
                    "file": request.path,
                    "present": request.path in self.present,
                }
                for request in self.requests
            ],
            "findings": [finding.as_json() for finding in self.findings],
        }


def check_layout(path: Path) -> LayoutReport:
    """Return what the client would make of a folder: this project's, or anybody's.

    Raises BundleError where there is no folder, nothing of a model in it, or a bundle of another
    layout. What is wrong with a model's folder is a finding.
    """
    folder = ModelFolder(path)
    promised = _promised(folder)
    client = load_client()
    config, findings = _config(folder)
    if not config and not any(name.endswith(".onnx") for name in folder.files):
        raise BundleError(
            "this is no model's folder",
            where=str(path),
            why=f"there is neither {CONFIG} nor an .onnx file in it or in {MODELS}/",
            hint=f"give the folder that holds {CONFIG} and {MODELS}/",
        )
    settings = Settings(config, client)
    kind = kind_of(config, client) if config else KINDS[OTHER]
    present = _present(folder, kind, client)
    graphs, damaged = read_models(folder, present, client)
    kind = _embeds(kind, graphs)
    requests = requests_of(kind, settings)
    if config:
        findings += [*check_settings(settings), *check_kind(kind, config, client)]
        findings += check_requests(requests, present, folder, client, promised=promised)
        findings += check_names(folder, kind, present, client)
        findings += check_companion_files(folder, kind, config, client)
    findings += damaged
    for graph in graphs:
        findings += check_interface(graph, kind, config, client) if kind.sessions else ()
        findings += check_cache(graph, kind, config, client)
        findings += check_format(graph, client)
        findings += check_operators(graph, requests, settings)
        findings += check_external_data(graph, folder, settings)
        findings += check_sizes(graph, folder, client)
    findings += _hand_overs(graphs)
    there = frozenset(item.path for item in present)
    return LayoutReport(path, client.title, kind.task, requests, there, by_severity(findings))


def is_for_client(target: str) -> bool:
    """Whether bundles of a target have the layout that this check is for."""
    return target in target_names() and load_target(target).layout == LAYOUT


def require_layout(path: Path, shown: Path) -> None:
    """Raise BundleError, with `shown` as the folder, where the client could not load a bundle."""
    report = check_layout(path)
    errors = [finding for finding in report.findings if finding.severity == "error"]
    if errors:
        raise BundleError(
            f"{report.client} cannot load the bundle",
            where=str(shown),
            why="\n".join(finding.render() for finding in errors),
            hint="`olive-build verify --layout transformers.js` says the same of any folder",
        )


def _config(folder: ModelFolder) -> tuple[dict[str, Any], list[Finding]]:
    if folder.has(CONFIG):
        config, wrong = folder.json(CONFIG)
        if not isinstance(config.get("model_type", ""), str):
            config["model_type"] = ""  # it is looked up in many places, as a name
        return config, [wrong] if wrong else []
    elsewhere = f"{MODELS}/{CONFIG}"
    hint = f"move {elsewhere} up" if folder.has(elsewhere) else "copy it from the original model"
    why = "the client reads it first of all, and throws without it"
    return {}, [Finding(Code.BAD_CONFIG, "error", f"{CONFIG} is missing", CONFIG, why, hint)]


def _promised(folder: ModelFolder) -> Collection[str]:
    """Return the variants of a bundle of ours, none for other folders.

    Raises BundleError for a bundle of another layout.
    """
    try:
        if not is_bundle(folder.path):
            return ()
    except OSError:
        return ()
    manifest = read_manifest(folder.path)
    target = manifest.target
    if target not in target_names():
        return ()
    layout = load_target(target).layout
    if layout != LAYOUT:
        raise BundleError(
            f"this is a bundle of the layout '{layout}'",
            where=str(folder.path),
            why=f"it was built for {target}, which {LAYOUT} does not load",
            hint="give the bundle of a web target, or verify this one without --layout",
        )
    return tuple(manifest.variants)


def _present(folder: ModelFolder, kind: Kind, client: Client) -> tuple[Present, ...]:
    if kind.sessions:
        return present_models(folder, kind, client)
    stems = [(name, name.rpartition("/")[2].removesuffix(".onnx")) for name in folder.models()]
    return tuple(Present(stem, "", name) for name, stem in stems)


def _embeds(kind: Kind, graphs: list[Graph]) -> Kind:
    """Return feature extraction for a language model that was exported without its head."""
    headless = [g.output("last_hidden_state") and not g.output("logits") for g in graphs]
    if kind.task == TEXT_GENERATION and headless and all(headless):
        return KINDS[FEATURE_EXTRACTION]
    return kind


def _hand_overs(graphs: list[Graph]) -> list[Finding]:
    encoders = {graph.dtype: graph for graph in graphs if graph.session == "encoder_model"}
    found: list[Finding] = []
    for graph in graphs:
        if graph.session == DECODER and graph.dtype in encoders:
            found += check_hand_over(encoders[graph.dtype], graph)
    return found
