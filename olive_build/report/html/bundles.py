"""What a page shows of a bundle, read from its manifest.json and proof.json alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olive_build.bundle.manifest import PROOF, read_json, read_manifest
from olive_build.errors import BundleError
from olive_build.proof import figures
from olive_build.proof.verdict import FP32, PYTORCH
from olive_build.report.html.candidates import SearchLog, read_search
from olive_build.report.html.training_view import TrainingView, read_training_view

OWN = "this file"


@dataclass(frozen=True)
class Speed:
    """How many times as fast as PyTorch eager at one size; `low` and `high` hold it for certain."""

    size: int
    unit: str
    threads: int
    times: float
    low: float
    high: float
    against_fp32: float | None
    milliseconds: float
    noisy: bool

    @property
    def place(self) -> str:
        """Where it was measured: `16 tokens, 1 thread`."""
        return f"{self.size} {self.unit}, {self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(frozen=True)
class VariantView:
    """One variant of one target: what it is, and what was measured of it.

    `without_vnni` holds the figures of quality on a processor whose 8-bit sums can saturate, where
    they differ from those of this machine. `training` is there where it goes on learning.
    """

    target: str
    name: str
    precision: str
    method: Mapping[str, Any] | None
    size_bytes: int
    fp32_bytes: int
    quality: Mapping[str, Mapping[str, Any]]
    speeds: tuple[Speed, ...]
    load_ms: float | None
    memory_mb: float | None
    gates: tuple[Mapping[str, Any], ...]
    limits: Mapping[str, Any]
    findings: tuple[Mapping[str, Any], ...]
    verdict: str
    search: SearchLog
    without_vnni: Mapping[str, float]
    training: TrainingView | None

    @property
    def ratio(self) -> float:
        """Its size against the fp32 graph's."""
        return self.size_bytes / self.fp32_bytes

    @property
    def figures(self) -> dict[str, float]:
        """The worst of its files, figure by figure: what the budgets are held against."""
        return figures.worst(list(self.quality.values()))

    @property
    def speed(self) -> Speed | None:
        """Its speed at the smallest size on one thread."""
        return min(self.speeds, key=lambda item: (item.threads, item.size), default=None)


@dataclass(frozen=True)
class BundleView:
    """One target's bundle."""

    folder: Path
    recipe: str
    description: str
    target: str
    provider: str
    status: str
    smoke: bool
    model: Mapping[str, Any]
    tools: Mapping[str, str]
    packages: tuple[Mapping[str, str], ...]
    machine: Mapping[str, Any]
    files: tuple[Mapping[str, Any], ...]
    variants: tuple[VariantView, ...]


def read_bundle(folder: Path) -> BundleView:
    """Return what lies in a bundle's folder. Raises BundleError when it is none, or damaged."""
    manifest, proof = read_manifest(folder), read_json(folder / PROOF)
    try:
        return _bundle(folder, manifest, proof)
    except (
        *(KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError, OverflowError),
        *(OSError, RecursionError),
    ) as error:
        raise BundleError(
            "the bundle's manifest.json or proof.json is damaged",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            hint="olive-build verify says more; build the bundle again",
        ) from error


def _bundle(folder: Path, manifest: dict[str, Any], proof: dict[str, Any]) -> BundleView:
    variants = tuple(
        _variant(folder, manifest, name, proved) for name, proved in proof["variants"].items()
    )
    if not variants:
        raise ValueError("there are no variants in proof.json")
    for key in ("recipe", "description", "target", "provider", "status"):
        if not isinstance(manifest[key], str):
            raise TypeError(f"`{key}` is no text")
    return BundleView(
        folder=folder,
        recipe=manifest["recipe"],
        description=manifest["description"],
        target=manifest["target"],
        provider=manifest["provider"],
        status=manifest["status"],
        smoke=bool(manifest["smoke"]),
        model=_map(manifest["model"]),
        tools=_map(manifest["tools"]),
        packages=tuple(_map(item) for item in manifest["runtime"]["packages"]),
        machine=_map(proof["machine"]),
        files=tuple(_map(item) for item in manifest["files"]),
        variants=variants,
    )


def _variant(
    folder: Path, manifest: Mapping[str, Any], name: str, proved: dict[str, Any]
) -> VariantView:
    described = manifest["variants"][name]
    load = proved.get("load") or {}
    memory = (proved.get("memory") or {}).get(OWN, [])
    view = VariantView(
        target=manifest["target"],
        name=name,
        precision=str(described["precision"]),
        method=None if described["quantize"] is None else _map(described["quantize"]),
        size_bytes=int(proved["size_bytes"]),
        fp32_bytes=int(proved["fp32_bytes"]),
        quality=_map(proved["quality"]),
        speeds=tuple(speed for row in proved["latency"] or [] for speed in _speed(row)),
        load_ms=_number(load["milliseconds"][OWN]["median"]) if load else None,
        memory_mb=max((_number(row["median"]) for row in memory), default=None),
        gates=tuple(_gate(item) for item in proved["gates"]),
        limits=_map(proved["limits"]),
        findings=tuple(_map(item) for item in proved.get("static_check") or []),
        verdict=str(proved["verdict"]),
        search=read_search(folder, name, proved),
        without_vnni=_without_vnni(proved),
        training=read_training_view(manifest["training"], described, proved["training"])
        if "training" in manifest
        else None,
    )
    for value in (*view.figures.values(), view.ratio):
        _number(value)
    return view


def _speed(row: Mapping[str, Any]) -> Sequence[Speed]:
    ratio = row["ratio_to"].get(PYTORCH)
    if ratio is None:
        return ()
    against = row["ratio_to"].get(FP32)
    median = _number(ratio["median"])
    return (
        Speed(
            size=int(row["tokens"]),
            unit=str(row.get("unit", "tokens")),
            threads=int(row["threads"]),
            times=1 / median,
            low=1 / _number(ratio.get("median_to", ratio["high"])),
            high=1 / _number(ratio.get("median_from", ratio["low"])),
            against_fp32=None if against is None else 1 / _number(against["median"]),
            milliseconds=_number(row["milliseconds"][OWN]["median"]),
            noisy=bool(row.get("noisy", False)),
        ),
    )


def _without_vnni(proved: Mapping[str, Any]) -> dict[str, float]:
    quality = (proved.get("without_vnni") or {}).get("quality") or {}
    return {name: _number(quality[name]) for name in figures.of_quality() if name in quality}


def _gate(item: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("figure", "bound", "status", "note"):
        if not isinstance(item[key], str):
            raise TypeError(f"a gate's `{key}` is no text")
    _number(item["limit"])
    if item["value"] is not None:
        _number(item["value"])
    return item


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} stands where an object is expected")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} stands where a number is expected")
    return float(value)
