"""The figures of quantization: what searches find from budgets alone, and what attribution takes.

Fidelity is that of the published bundles' proofs (data that no search saw). Speed is of the bare
graphs against PyTorch eager, token ids in for both, on one thread.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import Figure, cli, environment_with, spread

RECIPE = "all-minilm-l6-v2"
SEARCHED = ("fast", "faithful")
# From the issue: floors of the proof's figures, ceilings of the size, floors of speed by length.
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
PAIRS = 3


def search_figures(environment: Mapping[str, str], outputs: Path) -> list[Figure]:
    """Search both variants from their budgets, in a cache that has the model and nothing else."""
    words = ["build", RECIPE, "--target", "desktop", "--outputs", str(outputs)]
    for name in SEARCHED:
        words += ["--set", f"variants.{name}.quantize=auto"]
        limits = ", ".join(f"{size}: {goal}" for size, goal in GOALS[name]["speedup"].items())
        words += ["--set", f"verify.budgets.{name}.speedup={{{limits}}}"]
    # The searches' own speed budgets are for bare graphs; the bundle's proof times text as well.
    started = time.perf_counter()
    done = subprocess.run(
        [*cli(*words), "--set", "verify.timing=false"],
        env=environment_with(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    minutes = (time.perf_counter() - started) / 60
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("search ")))
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    figures = [
        Figure("both searches and their proofs, minutes", minutes, SEARCH_MINUTES, "at most")
    ]
    proof = json.loads((outputs / RECIPE / "desktop" / "proof.json").read_text("utf-8"))
    for name in SEARCHED:
        figures += proof_figures(f"{name}, searched", proof["variants"][name], GOALS[name])
    return figures


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
    words = ["build", RECIPE, "--target", "desktop", "--outputs", str(outputs)]
    words += ["--set", "targets.desktop.compose=none", "--set", "verify.timing=false"]
    subprocess.run(cli(*words), env=environment_with(environment), check=True, capture_output=True)
    folder = outputs / RECIPE / "desktop"
    figures = []
    for name in SEARCHED:
        rows = _timed(environment, folder / name / "model.onnx")
        for (tokens, threads), ratios in sorted(rows.items()):
            median = statistics.median(ratios)
            what = f"{name}: speed against PyTorch eager, {tokens} tokens"
            if threads == 1:
                goal = GOALS[name]["speedup"][tokens]
                figures.append(Figure(what, median, goal, "at least", spread(ratios)))
            else:
                print(f"{what}, {threads} threads: {median:.2f} ({spread(ratios)})")
    return figures


def _timed(environment: Mapping[str, str], model: Path) -> dict[tuple[int, int], list[float]]:
    """Return PyTorch's time over the model's by (tokens, threads), a value for each pair."""
    from olive_build.families.sentence_embedding.sample import text_of
    from olive_build.proof.candidate import Candidate, candidate_for
    from olive_build.proof.latency import compare_running, started

    sources = Path(environment["OLIVE_BUILD_CACHE"]) / "v1" / "sources"
    source = next(sources.glob(f"package/gt-{RECIPE}-*"))
    texts = {size: text_of(source, size) for size in GOALS["fast"]["speedup"]}
    family = "sentence-embedding"
    both = [
        candidate_for("this file", model, family),
        Candidate("pytorch", "pytorch-tokens", str(source), family),
    ]
    found: dict[tuple[int, int], list[float]] = {}
    for _ in range(PAIRS):
        with started(both, model.with_suffix(".log")) as children:
            rows = compare_running(children, texts, (1, 2))
        for row in rows:
            key = (row["tokens"], row["threads"])
            found.setdefault(key, []).append(1 / row["ratio_to"]["pytorch"]["median"])
    return found


def vision_figures(environment: Mapping[str, str], outputs: Path) -> list[Figure]:
    """Search `fast` for the vision recipe in the same way, and time what is published."""
    words = ["build", "characters", "--target", "desktop", "--outputs", str(outputs)]
    words += ["--set", "targets.desktop.variants=[fast]"]
    words += ["--set", "verify.budgets.fast.size_ratio=0.3"]
    started = time.perf_counter()
    done = subprocess.run(
        cli(*words), env=environment_with(environment), capture_output=True, text=True, check=False
    )
    minutes = (time.perf_counter() - started) / 60
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("search ")))
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
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


def attribution_figure(environment: Mapping[str, str], bundle: Path) -> Figure:
    """Time whole-model attribution of the published bundle, stages and suggestions included."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        words = ["explain", "--quality", str(bundle), "--variant", "fast", "--json"]
        subprocess.run(
            cli(*words), env=environment_with(environment), check=True, capture_output=True
        )
        seconds.append(time.perf_counter() - started)
    return Figure(
        "explain --quality of a whole MiniLM bundle, s",
        statistics.median(seconds),
        60,
        "at most",
        spread(seconds),
    )


def quantization_figures(
    parts: Sequence[str], environment: Mapping[str, str], scratch: Path
) -> list[Figure]:
    """Return the figures of those parts that are asked for."""
    figures: list[Figure] = []
    if "search" in parts:
        figures += search_figures(environment, scratch / "searched")
    if "speed" in parts:
        figures += speed_figures(environment, scratch / "bare")
    if "vision" in parts:
        figures += vision_figures(environment, scratch / "vision")
    if "attribution" in parts:
        words = ["build", RECIPE, "--target", "desktop", "--outputs", str(scratch / "explained")]
        words += ["--set", "verify.timing=false"]
        subprocess.run(
            cli(*words), env=environment_with(environment), check=True, capture_output=True
        )
        bundle = scratch / "explained" / RECIPE / "desktop"
        figures.append(attribution_figure(environment, bundle))
    return figures
