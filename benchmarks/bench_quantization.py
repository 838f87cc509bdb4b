"""The figures of quantization: what searches find from budgets alone, and what attribution takes.

Fidelity is that of the published bundles' proofs (data that no search saw). Speed is of the bare
graphs against PyTorch eager, token ids in for both, on one thread.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import ROOT, Figure, finished, spread, times_faster

RECIPE = "all-minilm-l6-v2"
SEARCHED = ("fast", "faithful")
# What the project set itself: fidelity and size of the proof, speed by length.
GOALS: Mapping[str, dict[str, Any]] = {
    "fast": {
        "figures": {"cosine_mean": 0.999, "cosine_p1": 0.998, "cosine_lowest": 0.996},
        "size": 0.26,
        "speedup": {16: 6.5, 128: 3.0},
    },
    "faithful": {
        "figures": {"cosine_p1": 0.999, "spearman": 0.9995},
        "size": 0.27,
        "speedup": {16: 3.0, 128: 1.6},
    },
}
SEARCH_MINUTES = 10
CONTROL = ROOT / "olive_build" / "proof" / "data" / "control.jsonl"


def search_figures(environment: Mapping[str, str], outputs: Path) -> list[Figure]:
    """Search both variants from their budgets, in a cache that has the model and nothing else."""
    words = ["build", RECIPE, "--target", "desktop", "--outputs", str(outputs)]
    for name in SEARCHED:
        words += ["--set", f"variants.{name}.quantize=auto"]
        limits = ", ".join(f"{size}: {goal}" for size, goal in GOALS[name]["speedup"].items())
        words += ["--set", f"verify.budgets.{name}.speedup={{{limits}}}"]
    # The searches' own speed budgets are for bare graphs; the bundle's proof times text as well.
    started = time.perf_counter()
    said = finished([*words, "--set", "verify.timing=false"], environment)
    minutes = (time.perf_counter() - started) / 60
    print("\n".join(line for line in said.splitlines() if line.startswith("search ")))
    figures = [
        Figure("both searches and their proofs, minutes", minutes, SEARCH_MINUTES, "at most")
    ]
    proof = json.loads((outputs / RECIPE / "desktop" / "proof.json").read_text("utf-8"))
    for name in SEARCHED:
        figures += proof_figures(f"{name}, searched", proof["variants"][name], GOALS[name])
    print_control(environment, outputs)
    return figures


def print_control(environment: Mapping[str, str], outputs: Path) -> None:
    """Print the searched files' figures on texts that no design, search or gate has seen."""
    from olive_build.families import module_of
    from olive_build.proof.quality import measure_quality
    from olive_build.proof.reference import read_reference
    from olive_build.steps.reference import Reference

    folder = outputs / "control"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"source": model_folder(environment), "data": CONTROL}
    Reference(module_of("sentence-embedding", "torch_side")).run(inputs, folder)
    reference = read_reference(folder)
    for name in SEARCHED:
        path = outputs / RECIPE / "desktop" / name / "model.onnx"
        figures = measure_quality(path, reference).against_torch.worst
        shown = ", ".join(f"{figure} {value:.5f}" for figure, value in figures.items())
        print(f"{name}, searched, on the control texts: {shown}")


def model_folder(environment: Mapping[str, str]) -> Path:
    """Return where the cache keeps the model's weights and tokenizer."""
    sources = Path(environment["OLIVE_BUILD_CACHE"]) / "v1" / "sources"
    return next(sources.glob(f"package/gt-{RECIPE}-*"))


def proof_figures(label: str, variant: dict[str, Any], goal: dict[str, Any]) -> list[Figure]:
    """Return a variant's fidelity (the worse of single and padded) and size against their goals."""
    quality = variant["quality"]["onnx"]
    share = variant["size_bytes"] / variant["fp32_bytes"]
    return [
        *(
            Figure(f"{label}: {figure.replace('_', ' ')}", quality[figure], floor, "at least")
            for figure, floor in goal["figures"].items()
        ),
        Figure(f"{label}: size / fp32", share, goal["size"], "at most"),
    ]


def speed_figures(environment: Mapping[str, str], outputs: Path) -> list[Figure]:
    """Time the recipe's own fast and faithful, bare, against PyTorch in pairs of processes."""
    from olive_build.families.sentence_embedding.sample import text_of

    words = ["build", RECIPE, "--target", "desktop", "--outputs", str(outputs)]
    words += ["--set", "targets.desktop.compose=none", "--set", "verify.timing=false"]
    finished(words, environment)
    folder = outputs / RECIPE / "desktop"
    source = model_folder(environment)
    texts = {size: text_of(source, size) for size in GOALS["fast"]["speedup"]}
    figures = []
    for name in SEARCHED:
        path = folder / name / "model.onnx"
        rows = times_faster(path, "sentence-embedding", ("pytorch-tokens", source), texts)
        for (tokens, threads), ratios in rows.items():
            median = statistics.median(ratios)
            what = f"{name}: speed against PyTorch eager, {tokens} tokens"
            if threads == 1:
                goal = GOALS[name]["speedup"][tokens]
                figures.append(Figure(what, median, goal, "at least", spread(ratios)))
            else:
                print(f"{what}, {threads} threads: {median:.2f} ({spread(ratios)})")
    return figures


def vision_figures(environment: Mapping[str, str], outputs: Path) -> list[Figure]:
    """Search `fast` for the vision recipe in the same way, and time what is published."""
    words = ["build", "characters", "--target", "desktop", "--outputs", str(outputs)]
    words += ["--set", "targets.desktop.variants=[fast]"]
    words += ["--set", "verify.budgets.fast.size_ratio=0.3"]
    started = time.perf_counter()
    said = finished(words, environment)
    minutes = (time.perf_counter() - started) / 60
    print("\n".join(line for line in said.splitlines() if line.startswith("search ")))
    proof = json.loads((outputs / "characters" / "desktop" / "proof.json").read_text("utf-8"))
    variant = proof["variants"]["fast"]
    quality = variant["quality"]["onnx"]
    figures = [
        Figure("characters: search and proof, minutes", minutes, SEARCH_MINUTES, "at most"),
        Figure("characters fast: accuracy lost, points", quality["accuracy_loss"], 0.5, "at most"),
        Figure(
            "characters fast: size / fp32",
            variant["size_bytes"] / variant["fp32_bytes"],
            0.3,
            "at most",
        ),
    ]
    for row in variant["latency"]:
        if row["threads"] == 1:
            ratio = 1 / row["ratio_to"]["pytorch"]["median"]
            what = f"characters fast: speed against PyTorch eager, {row['tokens']} images"
            figures.append(Figure(what, ratio, 2.0, "at least"))
    return figures


def attribution_figures(environment: Mapping[str, str], outputs: Path) -> list[Figure]:
    """Time whole-model attribution of the published bundle, stages and suggestions included."""
    words = ["build", RECIPE, "--target", "desktop", "--outputs", str(outputs)]
    finished([*words, "--set", "verify.timing=false"], environment)
    bundle = outputs / RECIPE / "desktop"
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        finished(["explain", "--quality", str(bundle), "--variant", "fast", "--json"], environment)
        seconds.append(time.perf_counter() - started)
    return [
        Figure(
            "explain --quality of a whole MiniLM bundle, s",
            statistics.median(seconds),
            60,
            "at most",
            spread(seconds),
        )
    ]
