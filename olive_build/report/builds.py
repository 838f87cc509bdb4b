"""What a report is about: a recipe's build, or one bundle, as the command line names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from olive_build.bundle.purpose import purpose_in, purpose_proved
from olive_build.errors import BundleError, UsageError
from olive_build.proof import figures
from olive_build.record.codec import Damaged, decode
from olive_build.record.manifest import Manifest, Variant
from olive_build.record.proof import (
    FP32,
    PYTORCH,
    THIS,
    Latency,
    Machine,
    Search,
    VariantProof,
)
from olive_build.record.read import AGAIN, MANIFEST, MOST_BYTES, Record, read_record
from olive_build.report.damage import DamageView
from olive_build.report.made_by import StepView
from olive_build.untrusted import read_json

SEARCH = "search.json"


@dataclass(frozen=True)
class Speed:
    """How many times as fast as PyTorch eager at one size; `low` and `high` hold it for certain."""

    row: Latency

    @property
    def times(self) -> float:
        """How many times as fast."""
        return 1 / self.row.ratio_to[PYTORCH].median

    @property
    def low(self) -> float:
        """As fast at least."""
        return 1 / self.row.ratio_to[PYTORCH].interval[1]

    @property
    def high(self) -> float:
        """As fast at most."""
        return 1 / self.row.ratio_to[PYTORCH].interval[0]

    @property
    def against_fp32(self) -> float | None:
        """How many times as fast as the fp32 graph."""
        found = self.row.ratio_to.get(FP32)
        return None if found is None else 1 / found.median

    @property
    def milliseconds(self) -> float:
        """How long it takes."""
        return self.row.milliseconds[THIS].median

    @property
    def place(self) -> str:
        """Where it was measured: `16 tokens, 1 thread`."""
        threads = self.row.threads
        return f"{self.row.tokens} {self.row.unit}, {threads} thread{'s' * (threads > 1)}"


@dataclass(frozen=True)
class VariantView:
    """One variant of one target: what it is, and what was measured of it."""

    target: str
    name: str
    made: Variant
    proof: VariantProof
    search: Search

    @property
    def is_run(self) -> bool:
        """Whether an application runs it as it is: then its size and speed are there to trade.

        What is for something else, such as for learning, tells a cost of its own.
        """
        return not purpose_proved(self.proof).cost(self.proof)

    @property
    def figures(self) -> dict[str, float]:
        """The worst of its files, figure by figure: what the budgets are held against."""
        return figures.worst([item.figures for item in self.proof.quality.values()])

    @property
    def without_vnni(self) -> dict[str, float]:
        """The figures on a processor whose 8-bit sums can saturate, where they are others."""
        found = self.proof.without_vnni
        return figures.worst([found.quality.figures]) if found and found.quality else {}

    @property
    def speeds(self) -> tuple[Speed, ...]:
        """Its speed at each size."""
        rows = self.proof.latency or ()
        return tuple(Speed(row) for row in rows if PYTORCH in row.ratio_to)

    @property
    def speed(self) -> Speed | None:
        """Its speed at the smallest size on one thread."""
        return min(self.speeds, key=lambda item: (item.row.threads, item.row.tokens), default=None)

    @property
    def load_ms(self) -> float | None:
        """How long it takes to load."""
        return self.proof.load.milliseconds[THIS].median if self.proof.load else None

    @property
    def memory_mb(self) -> float | None:
        """The peak of its memory."""
        rows = (self.proof.memory or {}).get(THIS, ())
        return max((row.median for row in rows), default=None)


@dataclass(frozen=True)
class BundleView:
    """One target's bundle."""

    folder: Path
    manifest: Manifest
    machine: Machine
    variants: tuple[VariantView, ...]

    @property
    def target(self) -> str:
        """The target."""
        return self.manifest.target


def read_bundle(folder: Path) -> BundleView:
    """Return what lies in a bundle's folder. Raises BundleError when it is none, or damaged."""
    record = read_record(folder)
    try:
        variants = tuple(_variant(record, name) for name in record.manifest.variants)
        for item in variants:
            _require_figures(item)
    except (Damaged, KeyError, ZeroDivisionError) as error:
        raise BundleError(
            "the bundle's proof.json is damaged",
            where=str(folder),
            why=str(error) if isinstance(error, Damaged) else f"{type(error).__name__}: {error}",
            hint=AGAIN,
        ) from error
    return BundleView(folder, record.manifest, record.proof.machine, variants)


def _variant(record: Record, name: str) -> VariantView:
    made, proof = record.manifest.variants[name], record.proof.variants[name]
    if type(purpose_in(record.manifest)) is not type(purpose_proved(proof)):
        raise Damaged(f"variants.{name}", "it was not proved for what the bundle is for")
    search = _search(record.folder, name, proof)
    return VariantView(record.manifest.target, name, made, proof, search)


def _require_figures(item: VariantView) -> None:
    """Raise where a row lacks what it is shown with: this file's time, or a ratio above 0."""
    for one in item.speeds:
        _ = one.times, one.low, one.high, one.against_fp32, one.milliseconds
    _ = item.load_ms


def _search(folder: Path, name: str, proof: VariantProof) -> Search:
    """Return what is in the proof, or in search.json beside the variant's files; empty for none."""
    found = proof.search
    if found is None:
        try:
            found = decode(Search, read_json(folder / name / SEARCH, MOST_BYTES))
        except FileNotFoundError:
            return Search(())
        except OSError as error:
            raise Damaged(f"{name}/{SEARCH}", str(error)) from error
    # What is counted beside them is no figure.
    known = tuple(replace(item, figures=_of_quality(item.figures)) for item in found.candidates)
    return replace(found, candidates=known)


def _of_quality(found: Mapping[str, float]) -> dict[str, float]:
    return {name: found[name] for name in figures.of_quality() if name in found}


@dataclass(frozen=True)
class Build:
    """Bundles that are shown together; `folder` is where they lie.

    `damages` are layers by damage of its variants, `steps` those that made its files, as far as
    somebody asked for them.
    """

    name: str
    folder: Path
    is_bundle: bool
    bundles: tuple[BundleView, ...]
    damages: tuple[DamageView, ...] = ()
    steps: tuple[StepView, ...] = ()

    @property
    def variants(self) -> list[VariantView]:
        """The variants of all bundles."""
        return [item for bundle in self.bundles for item in bundle.variants]

    @property
    def to_run(self) -> list[VariantView]:
        """The variants that applications run."""
        return [item for item in self.variants if item.is_run]


def find_build(name: str, outputs: Path) -> Build:
    """Return what a word of the command line names.

    A folder with manifest.json is a bundle, one that holds such folders a build; any other word is
    a recipe whose bundles lie in `outputs`. Raises UsageError where there is none, BundleError
    where one is damaged.
    """
    path = Path(name)
    if (path / MANIFEST).is_file():
        return Build(name, path, True, (read_bundle(path),))
    for folder in (path, outputs / name):
        found = sorted(item.parent for item in folder.glob(f"*/{MANIFEST}"))
        if found:
            return Build(name, folder, False, tuple(read_bundle(item) for item in found))
    raise UsageError(
        f"there is no bundle of '{name}'",
        where=str(outputs / name),
        why=f"neither there nor in {path} is a folder with {MANIFEST}",
        hint="build it first (`olive-build build RECIPE`), or give the folder of a bundle or of "
        "a recipe's bundles; --outputs says where they are",
    )
