"""The figures of this project, measured side by side in one run: `make bench`.

Whole processes, medians of several runs, Olive's own command line and PyTorch as the yardsticks.
Prints a table and writes outputs/bench.json. Exit code 1 when a figure misses its goal.

    python benchmarks/bench.py [--runs N] [--only search,cold,start]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench_quantization import quantization_figures
from bench_whisper import whisper_figures
from figures import QUIET, ROOT, Figure, Run, cli, spread, timed

RECIPE = "all-minilm-l6-v2"
PARTS = ("search", "speed", "vision", "attribution", "whisper", "cold", "noop", "start")
# The cold build of five targets as Olive is asked for it: conversion and plain int8.
COLD_TARGETS = ("desktop", "web", "android", "ios", "windows")


def start_figures(runs: int, environment: dict[str, str]) -> list[Figure]:
    """Measure the verbs that build nothing, on a machine where the model was fetched before."""
    goals = {
        ("--help",): 0.15,
        ("list",): 0.15,
        ("validate", RECIPE): 0.4,
        ("plan", RECIPE): 0.4,
    }
    figures = []
    for words, goal in goals.items():
        timed(cli(*words), environment)
        seconds = [timed(cli(*words), environment).seconds for _ in range(runs)]
        name = f"olive-build {' '.join(words)}, s"
        figures.append(Figure(name, statistics.median(seconds), goal, "at most", spread(seconds)))
    return figures


def noop_figure(runs: int, environment: dict[str, str], outputs: Path) -> Figure:
    """Measure a build of all targets in which nothing changed."""
    build = cli("build", RECIPE, "--outputs", str(outputs))
    seconds = [timed(build, environment).seconds for _ in range(runs)]
    return Figure(
        "build, nothing changed, all six targets, s",
        statistics.median(seconds),
        1.0,
        "at most",
        spread(seconds),
    )


def cold_figures(runs: int, sources: Path) -> list[Figure]:
    """Build all five targets cold, timing runs left out, in turn with Olive's conversion + int8."""
    ours: list[Run] = []
    theirs: list[Run] = []
    peaks = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            theirs.append(_olive_run(Path(scratch), sources))
        with tempfile.TemporaryDirectory() as scratch:
            run, peak = _our_build(Path(scratch), sources)
            ours.append(run)
            peaks.append(peak)
    times = [a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)]
    memory = [a / b.peak_mb for a, b in zip(peaks, theirs, strict=True)]
    print(
        f"cold build {statistics.median(r.seconds for r in ours):.1f} s, "
        f"olive run {statistics.median(r.seconds for r in theirs):.1f} s; "
        f"peak of any step {max(peaks):.0f} MB, olive {max(r.peak_mb for r in theirs):.0f} MB"
    )
    return [
        Figure(
            "cold build of five targets / olive run of conversion + int8",
            statistics.median(times),
            3.0,
            "at most",
            spread(times),
        ),
        Figure(
            "peak memory of any step / Olive's peak",
            statistics.median(memory),
            1.0,
            "at most",
            spread(memory),
        ),
    ]


def _our_build(scratch: Path, sources: Path) -> tuple[Run, float]:
    # The model is here already for both sides; downloads are not what is compared.
    cache = scratch / "cache"
    (cache / "v1").mkdir(parents=True)
    (cache / "v1" / "sources").symlink_to(sources, target_is_directory=True)
    command = cli("build", RECIPE, "--set", "verify.timing=false", "--json")
    command += ["--set", "targets.desktop.variants=[int8]"]
    command += [word for target in COLD_TARGETS for word in ("--target", target)]
    command += ["--outputs", str(scratch / "outputs")]
    run = timed(command, {"OLIVE_BUILD_CACHE": str(cache)})
    again = subprocess.run(
        command,
        env={**os.environ, **QUIET, "OLIVE_BUILD_CACHE": str(cache)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    steps = json.loads(again.stdout)["steps"]
    return run, max(step["peak_bytes"] or 0 for step in steps) / 1e6


def _olive_run(scratch: Path, sources: Path) -> Run:
    model = next(sources.glob(f"package/gt-{RECIPE}-*"))
    config = {
        "input_model": {
            "type": "HfModel",
            "model_path": str(model),
            "task": "feature-extraction",
        },
        "passes": {
            "conversion": {"type": "OnnxConversion", "use_dynamo_exporter": True},
            "int8": {"type": "OnnxDynamicQuantization"},
        },
        "cache_dir": str(scratch / "cache"),
        "output_dir": str(scratch / "out"),
    }
    path = scratch / "olive.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    olive = str(Path(sys.executable).with_name("olive"))
    run = timed([olive, "run", "--config", str(path)], {"HF_HUB_OFFLINE": "1"})
    # Its exit code is 0 whatever happens: believe the file alone.
    if not list((scratch / "out").rglob("*.onnx")):
        raise SystemExit("olive run wrote no model")
    return run


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        mark = "ok  " if figure.holds else "MISS"
        low_high = f"  ({figure.spread})" if figure.spread else ""
        print(
            f"{mark} {figure.what:<{width}}  {figure.value:8.4g}  "
            f"{figure.bound} {figure.goal:g}{low_high}"
        )


def main() -> int:
    """Measure, print, write outputs/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold-runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS))
    chosen = parser.parse_args()
    parts = chosen.only.split(",")
    figures: list[Figure] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        outputs = Path(scratch) / "outputs"
        environment = {"OLIVE_BUILD_CACHE": str(Path(scratch) / "cache")}
        sources = Path(scratch) / "cache" / "v1" / "sources"
        timed(cli("plan", RECIPE), environment)  # fetches the model
        if "cold" in parts:
            figures += cold_figures(chosen.cold_runs, sources)
        figures += quantization_figures(parts, environment, Path(scratch))
        if "whisper" in parts:
            figures += whisper_figures(environment, Path(scratch))
        if "noop" in parts:
            timed(cli("build", RECIPE, "--outputs", str(outputs)), environment)
            figures.append(noop_figure(chosen.runs, environment, outputs))
        if "start" in parts:
            figures += start_figures(chosen.runs, environment)
    show(figures)
    (ROOT / "outputs").mkdir(exist_ok=True)
    report = {"figures": [asdict(figure) for figure in figures]}
    (ROOT / "outputs" / "bench.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"measured in {time.perf_counter() - started:.0f} s, written to outputs/bench.json")
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
