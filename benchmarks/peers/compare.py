"""Our bundles, the peers' models and PyTorch in one run: fidelity, speed and size.

Every candidate turns texts into vectors, in a process and an interpreter of its own. Ours take
the text; before a peer's model, and before PyTorch, stands the `tokenizers` library, and its time
counts. Fidelity is judged on the bundle's stored references, one by one and in padded batches;
speed by ratios to PyTorch eager, taken round by round. Prints tables and writes JSON.

    python benchmarks/peers/compare.py [--bundle outputs/all-minilm-l6-v2/desktop] ...

Exit code 1 when a peer has no model or a candidate cannot be run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environments import HERE
from produce import PEERS, RECIPE, ROOT, model_folder

from olive_build.engine.machine import this_machine
from olive_build.errors import BundleError, OliveBuildError
from olive_build.families.sentence_embedding.sample import text_of
from olive_build.families.sentence_embedding.spec import inspect
from olive_build.proof.contestant import Process
from olive_build.proof.embedding import Floats
from olive_build.proof.latency import compare_running
from olive_build.proof.quality import Agreement
from olive_build.proof.reference import read_reference
from olive_build.proof.references.embedding import EmbeddingReference
from olive_build.record.codec import encode
from olive_build.record.read import read_record
from olive_build.report.style import table

# Columns of the terminal that the tables may take: many peers and lengths stand side by side.
WIDE = 160
TOKENS = (16, 128)
THREADS = (1, 2)
FIGURES = ("cosine_lowest", "cosine_p1", "cosine_mean", "spearman")
PYTORCH = "pytorch"


@dataclass(frozen=True)
class Entry:
    """One candidate: what its process is told, who runs it, and what the table says of it."""

    name: str
    python: str
    told: dict[str, Any]
    size_bytes: int | None
    version: str

    def as_json(self) -> dict[str, Any]:
        """Return the first line that the candidate's process reads."""
        return self.told

    @property
    def command(self) -> list[str]:
        """What starts its process."""
        return [self.python, str(HERE / "child.py")]


def pytorch_entries(model: Path, shared: dict[str, Any]) -> list[Entry]:
    """Return PyTorch as the proofs time it, and with the faster attention of its own."""
    from importlib.metadata import version

    size = (model / "model.safetensors").stat().st_size
    told = {**shared, "kind": "pytorch", "model": str(model)}
    return [
        Entry(name, sys.executable, {**told, "attention": attention}, size, version("torch"))
        for name, attention in ((PYTORCH, "eager"), (f"{PYTORCH} sdpa", "sdpa"))
    ]


def our_entries(bundles: Sequence[Path], shared: dict[str, Any]) -> list[Entry]:
    """Return every variant of the bundles. Raises BundleError when one is none."""
    entries = []
    for folder in bundles:
        record = read_record(folder)
        manifest = record.manifest
        prefix = f"{folder.name}/" if len(bundles) > 1 else ""
        for name, variant in manifest.variants.items():
            if "onnx" not in variant.files:
                continue
            takes = {value.name for value in variant.inputs}
            kind = "onnx-text" if "text" in takes else "onnx"
            model = str((folder / variant.files["onnx"]).absolute())
            size = record.proof.variants[name].size_bytes
            told = {**shared, "kind": kind, "model": model}
            version = f"olive-build {manifest.tools['olive-build']}"
            entries.append(Entry(f"ours {prefix}{name}", sys.executable, told, size, version))
    return entries


def peer_entries(outputs: Path, recipe: str, shared: dict[str, Any]) -> tuple[list[Entry], bool]:
    """Return the peers that have a model, and whether one has none."""
    entries, missing = [], False
    for peer in PEERS:
        path = outputs / "peers" / peer.name / recipe / "manifest.json"
        if not path.is_file():
            print(f"{peer.name}: no model at {path}; see produce.py", file=sys.stderr)
            missing = True
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        told = {
            **shared,
            "kind": found["kind"],
            "model": str((path.parent / found["model"]).absolute()),
        }
        entries.append(
            Entry(peer.name, found["python"], told, found["size_bytes"], found["version"])
        )
    return entries, missing


def fidelity(child: Process, reference: EmbeddingReference) -> Agreement:
    """Let a candidate embed the reference's texts, singly and in padded batches; compare both."""
    batches = reference.batches()
    order = np.concatenate(batches)
    together = [[reference.texts[row] for row in rows] for rows in batches]
    single = embedded(child, [[text] for text in reference.texts])
    batched = np.empty_like(reference.expected)
    batched[order] = embedded(child, together)
    return Agreement(
        reference.compare(single, reference.expected),
        reference.compare(batched, reference.expected),
    )


def embedded(child: Process, batches: Sequence[Sequence[str]]) -> Floats:
    """Return a candidate's vectors of all texts, in the order of the batches."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "vectors.npy")
        child.ask({"do": "embed", "threads": 1, "batches": batches, "out": str(path)})
        vectors: Floats = np.load(path, allow_pickle=False)
        return vectors


def measure(
    entries: Sequence[Entry], reference: EmbeddingReference, model: Path
) -> tuple[dict[str, Any], bool]:
    """Return every candidate's figures by name, and whether one could not be run.

    The first entry is what the others' speed is a ratio to.
    """
    children: list[Process] = []
    results: dict[str, dict[str, Any]] = {}
    failed = False
    try:
        for entry in entries:
            try:
                child = Process(entry, entry.command)
                children.append(child)
                quality = fidelity(child, reference).as_json()
            except OliveBuildError as error:
                print(f"{entry.name} cannot be run: {error.why}", file=sys.stderr)
                children = [item for item in children if item.name != entry.name]
                failed = True
                continue
            results[entry.name] = {
                "version": entry.version,
                "size_bytes": entry.size_bytes,
                "fidelity": quality,
            }
        texts = {count: text_of(model, count) for count in TOKENS}
        rows = compare_running(children, texts, THREADS)
    finally:
        for child in children:
            child.close()
    for name, result in results.items():
        result["speed"] = [speed_row(row, name) for row in rows]
    return results, failed


def speed_row(row: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one candidate's part of a row of times; the first candidate has no ratio."""
    return {
        "tokens": row["tokens"],
        "threads": row["threads"],
        "milliseconds": row["milliseconds"][name],
        "times_pytorch": row["ratio_to"].get(name),
        "noisy": row["noisy"],
    }


def show(results: dict[str, Any], fp32_bytes: int) -> None:
    """Print one table of fidelity and size and one of speed."""
    rows = [["candidate", "version", "size", "of fp32", "run", *FIGURES]]
    for name, result in results.items():
        size = result["size_bytes"]
        for run in ("single", "batched"):
            figures = [f"{result['fidelity'][run][figure]:.5f}" for figure in FIGURES]
            about = [name, result["version"], f"{size / 1e6:.1f} MB", f"{size / fp32_bytes:.1%}"]
            rows.append([*(about if run == "single" else [""] * 4), run, *figures])
    print(*table(rows, right=(2, 3, 5, 6, 7, 8), width=WIDE), sep="\n")
    places = [(tokens, threads) for threads in THREADS for tokens in TOKENS]
    head = [f"{n} tokens, {t} thread{'s' * (t > 1)}" for n, t in places]
    speeds = [["times PyTorch eager (quartiles)", *head]]
    for name, result in results.items():
        by_place = {(row["tokens"], row["threads"]): row for row in result["speed"]}
        speeds.append([name, *(speed_text(by_place[place]) for place in places)])
    print()
    print(*table(speeds, right=(1, 2, 3, 4), width=WIDE), sep="\n")
    if any(row["noisy"] for result in results.values() for row in result["speed"]):
        print("the machine was noisy: read the quartiles, and measure again when it is quiet")


def speed_text(row: dict[str, Any]) -> str:
    """Return a ratio with its quartiles, or the milliseconds of the one that is compared with."""
    ratio = row["times_pytorch"]
    if ratio is None:
        return f"{row['milliseconds']['median']:.2f} ms"
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def main() -> int:
    """Measure, print, write the JSON; 1 when a candidate is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, action="append", metavar="FOLDER")
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--outputs", type=Path, default=ROOT / "outputs")
    chosen = parser.parse_args()
    bundles = chosen.bundle or [chosen.outputs / chosen.recipe / "desktop"]
    try:
        results, failed, fp32 = compare(bundles, chosen.recipe, chosen.outputs)
    except OliveBuildError as error:
        print(error.render(), file=sys.stderr)
        return error.exit_code
    show(results, fp32)
    report = {"machine": encode(this_machine()), "fp32_bytes": fp32, "candidates": results}
    path = chosen.outputs / "bench-peers.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")
    return int(failed)


def compare(
    bundles: Sequence[Path], recipe: str, outputs: Path
) -> tuple[dict[str, Any], bool, int]:
    """Return the candidates' figures, whether one is missing, and the fp32 graph's bytes."""
    reference = read_reference(bundles[0] / "reference")
    if not isinstance(reference, EmbeddingReference):
        raise BundleError("the peers are compared on text encoders", where=str(bundles[0]))
    model = model_folder(recipe)
    shared = {
        "tokenizer": str(model / "tokenizer.json"),
        "max_length": inspect(model).max_length,
        "pooling": reference.pooling,
        "normalize": reference.normalize,
    }
    ours = our_entries(bundles, shared)
    peers, missing = peer_entries(outputs, recipe, shared)
    entries = [*pytorch_entries(model, shared), *ours, *peers]
    results, failed = measure(entries, reference, model)
    proof = read_record(bundles[0]).proof
    fp32 = max(variant.fp32_bytes for variant in proof.variants.values())
    return results, failed or missing, fp32


if __name__ == "__main__":
    sys.exit(main())
