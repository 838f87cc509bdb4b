"""The figures of this project, measured side by side in one run: `make bench`.

Whole processes, medians of several runs, Olive's own command line and PyTorch as the yardsticks.
Prints a table and writes outputs/bench.json. Exit code 1 when a figure misses its goal. A part that
fails is in the table with its reason, as missed, and the others are measured.

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
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench_quantization import attribution_figures, search_figures, speed_figures, vision_figures
from bench_text_generation import generation_figures
from bench_training import full_size_figures, training_figures
from bench_whisper import whisper_figures
from figures import QUIET, ROOT, Failed, Figure, Missing, Run, cli, spread, timed

RECIPE = "all-minilm-l6-v2"
# The cold build of five targets as Olive is asked for it: conversion and plain int8.
COLD_TARGETS = ("desktop", "web", "android", "ios", "windows")


@dataclass(frozen=True)
class Bench:
    """What all parts of one bench share: how often they run, and a folder that is theirs."""

    runs: int
    cold_runs: int
    scratch: Path

    @property
    def environment(self) -> dict[str, str]:
        """One cache for all parts: what one has built, others find."""
        return {"OLIVE_BUILD_CACHE": str(self.scratch / "cache")}

    @property
    def sources(self) -> Path:
        """Where that cache keeps models that were fetched."""
        return self.scratch / "cache" / "v1" / "sources"


def start_figures(bench: Bench) -> list[Figure]:
    """Measure the verbs that build nothing, on a machine where the model was fetched before."""
    goals = {
        ("--help",): 0.15,
        ("list",): 0.15,
        ("validate", RECIPE): 0.4,
        ("plan", RECIPE): 0.4,
    }
    figures = []
    for words, goal in goals.items():
        timed(cli(*words), bench.environment)
        seconds = [timed(cli(*words), bench.environment).seconds for _ in range(bench.runs)]
        name = f"olive-build {' '.join(words)}, s"
        figures.append(Figure(name, statistics.median(seconds), goal, "at most", spread(seconds)))
    return figures


def noop_figures(bench: Bench) -> list[Figure]:
    """Measure a build of all targets in which nothing changed."""
    build = cli("build", RECIPE, "--outputs", str(bench.scratch / "outputs"))
    timed(build, bench.environment)
    seconds = [timed(build, bench.environment).seconds for _ in range(bench.runs)]
    name = "build, nothing changed, all six targets, s"
    return [Figure(name, statistics.median(seconds), 1.0, "at most", spread(seconds))]


def cold_figures(bench: Bench) -> list[Figure]:
    """Build all five targets cold, timing runs left out, in turn with Olive's conversion + int8."""
    timed(cli("plan", RECIPE), bench.environment)  # fetches the model
    ours: list[Run] = []
    theirs: list[Run] = []
    peaks = []
    for _ in range(bench.cold_runs):
        with tempfile.TemporaryDirectory() as scratch:
            theirs.append(_olive_run(Path(scratch), bench.sources))
        with tempfile.TemporaryDirectory() as scratch:
            run, peak = _our_build(Path(scratch), bench.sources)
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
        raise Failed("olive run wrote no model")
    return run


PARTS: Mapping[str, Callable[[Bench], list[Figure]]] = {
    "cold": cold_figures,
    "search": lambda bench: search_figures(bench.environment, bench.scratch / "searched"),
    "speed": lambda bench: speed_figures(bench.environment, bench.scratch / "bare"),
    "vision": lambda bench: vision_figures(bench.environment, bench.scratch / "vision"),
    "attribution": lambda bench: attribution_figures(
        bench.environment, bench.scratch / "explained"
    ),
    "whisper": lambda bench: whisper_figures(bench.environment, bench.scratch),
    "generation": lambda bench: generation_figures(bench.environment, bench.scratch),
    "training": lambda bench: training_figures(bench.environment, bench.scratch),
    "training-size": lambda bench: full_size_figures(bench.environment, bench.scratch),
    "noop": noop_figures,
    "start": start_figures,
}


def measure(
    bench: Bench, parts: Mapping[str, Callable[[Bench], list[Figure]]]
) -> tuple[list[Figure], list[Missing]]:
    """Return the figures of all parts, and why those are missing that failed."""
    figures: list[Figure] = []
    missing: list[Missing] = []
    for name, part in parts.items():
        try:
            figures += part(bench)
        except Failed as failure:
            missing.append(Missing(name, str(failure).strip()))
        # Hours of other figures are not lost to a mistake in one part.
        except Exception as error:  # noqa: BLE001
            traceback.print_exc()
            missing.append(Missing(name, f"{type(error).__name__}: {error}"))
    return figures, missing


def show(figures: Sequence[Figure], missing: Sequence[Missing]) -> None:
    """Print the table."""
    width = max((len(figure.what) for figure in figures), default=0)
    for figure in figures:
        mark = "ok  " if figure.holds else "MISS"
        low_high = f"  ({figure.spread})" if figure.spread else ""
        print(
            f"{mark} {figure.what:<{width}}  {figure.value:8.4g}  "
            f"{figure.bound} {figure.goal:g}{low_high}"
        )
    for part in missing:
        print(f"MISS {part.part}: not measured; {part.reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write outputs/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold-runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS))
    chosen = parser.parse_args(arguments)
    asked = chosen.only.split(",")
    if unknown := [name for name in asked if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(chosen.runs, chosen.cold_runs, Path(scratch))
        figures, missing = measure(bench, {name: PARTS[name] for name in PARTS if name in asked})
    show(figures, missing)
    report = {
        "figures": [asdict(figure) for figure in figures],
        "missing": [asdict(part) for part in missing],
    }
    (ROOT / "outputs").mkdir(exist_ok=True)
    (ROOT / "outputs" / "bench.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"measured in {time.perf_counter() - started:.0f} s, written to outputs/bench.json")
    return 1 if missing or not all(figure.holds for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
